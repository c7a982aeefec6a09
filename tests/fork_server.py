"""Forks Python processes that have the library imported, for tests that need one of their own.

Importing JAX and the library takes five seconds in a process, and a fork has it done. No backend of
JAX has started before a fork, so a process sees the devices that its XLA_FLAGS ask for. What JAX
reads when it is imported, the variables JAX_*, is that of the server.

Standard input is a socket. A line on it is the JSON of a script with its arguments, the working
folder and the environment, and comes with three files: for the output, for errors, and one on which
the server writes the number of the process and at last its exit status, a line each.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import socket
import sys
import warnings
from pathlib import Path

MODULES = (
    "jaxnuc.cli.main",
    "jaxnuc.cli.predict",
    "jaxnuc.evaluation.checkpoint",
    "jaxnuc.training.loop",
    "jaxnuc.training.reporting",
)


def next_request(requests: socket.socket) -> tuple[list[str], str, dict[str, str]]:
    """Waits for requests, and returns in a process of its own for each."""
    while True:
        message, files, *_ = socket.recv_fds(requests, 1 << 16, 3)
        if not message:
            os._exit(0)  # the tests have ended
        while not message.endswith(b"\n"):
            message += requests.recv(1 << 16)
        output, errors, report = files
        if os.fork():
            for file in files:
                os.close(file)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass  # one that has ended before
            continue
        if process := os.fork():
            os.write(report, f"{process}\n".encode())
            status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
            os.write(report, f"{status}\n".encode())
            os._exit(0)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for file, number in ((nothing, 0), (output, 1), (errors, 2)):
            os.dup2(file, number)
        for file in (nothing, *files):
            os.close(file)
        requests.close()
        return json.loads(message)


if __name__ == "__main__":
    for module in MODULES:
        importlib.import_module(module)
    gc.freeze()
    with warnings.catch_warnings():
        # A fork has no other thread; those of the server wait for work.
        warnings.simplefilter("ignore")
        arguments, folder, environment = next_request(socket.socket(fileno=os.dup(0)))
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv[:] = arguments
    sys.path[0] = str(Path(arguments[0]).parent)
    runpy.run_path(arguments[0], run_name="__main__")
