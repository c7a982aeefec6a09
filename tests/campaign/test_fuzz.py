"""Damaged files of every format: see `fuzz.py`."""

import os
import subprocess
import sys
from pathlib import Path


def test_damaged_files_are_read_or_named():
    files = os.environ.get("CAMPAIGN_FILES", "2000")
    command = [sys.executable, Path(__file__).with_name("fuzz.py"), f"--files={files}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stdout
    print(done.stdout)
