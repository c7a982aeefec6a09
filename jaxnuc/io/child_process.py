"""A process in which libraries read files that may make them end it."""

import atexit
import json
import os
import subprocess
import sys
import threading
from typing import Any


class ChildEnded(Exception):
    """The process ended before it answered.

    Attributes:
      status: with which, negative for a signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"status {status}")
        self.status = status


class ChildProcess:
    """Runs a script of Python, started with the first request, and anew where it has ended.

    A request is a line of JSON on standard input. So is the answer on standard output; where it has
    an entry `bytes`, as many follow. The script ends with its input. Threads may share it; a
    process that was forked needs its own.
    """

    def __init__(self, script: str) -> None:
        self._script = script
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self._end)

    @property
    def runs(self) -> bool:
        """Whether it has started and not ended."""
        return self._process is not None

    def ask(self, request: Any) -> tuple[dict[str, Any], bytes]:
        """The answer to a request, and the bytes behind it.

        Raises:
          ChildEnded: there is none.
        """
        with self._lock:
            if self._process is None:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-c", self._script],
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            try:
                self._process.stdin.write(json.dumps(request, default=int).encode() + b"\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                raise ChildEnded(self._end()) from None
            line = self._process.stdout.readline()
            answer: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
            data = self._process.stdout.read(answer.get("bytes", 0))
            if not answer or len(data) < answer.get("bytes", 0):
                raise ChildEnded(self._end())
            return answer, data

    def _end(self) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.communicate()
        return process.returncode
