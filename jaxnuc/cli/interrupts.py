"""Ctrl-C that counts wherever it arrives."""

import os
import signal
import sys
import threading
from types import FrameType

INTERRUPTED = 130  # status of a command that was
SECONDS = 0.05  # until an interrupt is tried again
MOST = 200  # times, for an import that has no end
LONG = 3.0  # seconds for which native code may go on


def keep_interrupts() -> None:
    """Tries an interrupt again that comes at a moment at which it has no effect, or a bad one.

    Python raises KeyboardInterrupt in whatever it does at the moment. In a callback it is dropped:
    in a finalizer, or in what JAX has the garbage collector do, which is often. Within an import
    it can end the process with a core dump, or become another error. And as long as native code is
    at work, Python waits: the compilation of a network can take a minute. Then the process ends
    after `LONG` seconds, as if it had been killed.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return  # one that ignores it, as commands of a script in the background do
    if not hasattr(signal, "pthread_kill"):
        return  # Windows
    shown, tried = sys.unraisablehook, 0
    reached = threading.Event()
    signals, written = os.pipe()
    os.set_blocking(written, False)
    signal.set_wakeup_fd(written, warn_on_full_buffer=False)

    def watch() -> None:
        while number := os.read(signals, 1):
            if number[0] == signal.SIGINT:
                if not reached.wait(LONG):
                    os._exit(INTERRUPTED)
                reached.clear()

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal tried
        reached.set()
        if _within_import(frame) and tried < MOST:
            tried += 1
            _interrupt_again()
        else:
            signal.default_int_handler(number, frame)

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if unraisable.exc_type is KeyboardInterrupt:
            _interrupt_again()
        else:
            shown(unraisable)

    threading.Thread(target=watch, name="interrupts", daemon=True).start()
    signal.signal(signal.SIGINT, handle)
    sys.unraisablehook = hook


def is_interrupt(error: BaseException | None) -> bool:
    """Whether an error is an interrupt, or came of one while it was handled."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _within_import(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def _interrupt_again() -> None:
    # By a signal, since the main thread may wait for a lock then.
    main_thread = threading.main_thread().ident or 0
    timer = threading.Timer(SECONDS, signal.pthread_kill, (main_thread, signal.SIGINT))
    timer.daemon = True
    timer.start()
