"""Ctrl-C in moments in which Python drops it, or in which it does harm."""

import signal
import subprocess
import sys

import pytest

from jaxnuc.cli import models
from jaxnuc.cli.main import main

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "pthread_kill"), reason="this system has no such signals"
)

BEGIN = """
import gc, os, signal, sys, time
from jaxnuc.cli.interrupts import keep_interrupts

signal.signal(signal.SIGINT, signal.default_int_handler)

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0)

"""

# One of ten interrupts of a prediction came there, and had no effect.
CALLBACK = """
def within_a_callback(phase, info):
    gc.callbacks.remove(within_a_callback)
    interrupt()

gc.callbacks.append(within_a_callback)
try:
    gc.collect()
    time.sleep({seconds})
except KeyboardInterrupt:
    sys.exit(7)
"""

IMPORT = """
import __main__
__main__.interrupt()
done = True
"""

IMPORTED = """
try:
    import interrupted
    time.sleep({seconds})
except KeyboardInterrupt:
    sys.exit(7 if "interrupted" in globals() else 8)
"""


def status(script, folder):
    return subprocess.run([sys.executable, "-c", script], cwd=folder, check=False).returncode


@pytest.mark.parametrize(("script", "without"), [(CALLBACK, 0), (IMPORTED, 8)])
def test_it_counts_a_little_later(tmp_path, script, without):
    (tmp_path / "interrupted.py").write_text(IMPORT)
    assert status(BEGIN + script.format(seconds=0), tmp_path) == without
    assert status(BEGIN + "keep_interrupts()" + script.format(seconds=60), tmp_path) == 7


def test_an_import_without_end_is_interrupted(tmp_path):
    (tmp_path / "interrupted.py").write_text(IMPORT + "import time\ntime.sleep(60)\n")
    few = "from jaxnuc.cli import interrupts\ninterrupts.MOST = 3\nkeep_interrupts()\n"
    assert status(BEGIN + few + IMPORTED.format(seconds=0), tmp_path) == 8


# Takes minutes, without a look at signals, as a compilation does.
NATIVE = """
import hashlib, threading
threading.Timer(0.1, interrupt).start()
hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)
"""


def test_native_code_is_not_waited_for(tmp_path):
    short = "from jaxnuc.cli import interrupts\ninterrupts.LONG = 0.5\nkeep_interrupts()\n"
    assert status(BEGIN + short + NATIVE, tmp_path) == 130


@pytest.mark.parametrize("raised", [KeyboardInterrupt, AttributeError])
def test_an_error_that_an_interrupt_has_led_to_is_one(monkeypatch, capsys, raised):
    def run(options):
        try:
            raise KeyboardInterrupt
        finally:
            raise raised("of the cleaning up")

    monkeypatch.setattr(models, "run", run)
    assert main(["models"]) == 130
    assert capsys.readouterr().err == ""


def test_a_command_that_ignores_it_goes_on(tmp_path):
    ignored = "signal.signal(signal.SIGINT, signal.SIG_IGN)\nkeep_interrupts()\ninterrupt()\n"
    assert status(BEGIN + ignored, tmp_path) == 0
