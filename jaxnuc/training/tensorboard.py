"""Figures of a training in a file that TensorBoard shows."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX import summary
from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from jaxnuc.io.atomic import naming


class EventFile:
    """A new file of events in a folder.

    Each call has written when it returns. tensorboardX' own writer hands events to a thread; where
    that cannot write, on a full disk, the training would wait for it forever.

    Args:
      folder: is made if need be.
      purge_step: TensorBoard drops what other files in the folder say of this step and later ones.

    Raises:
      OSError: the file cannot be written. So does every method.
    """

    def __init__(self, folder: Path, purge_step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        with naming(folder):
            # Its own name has whole seconds only: a run resumed within one would overwrite it.
            self._writer = EventsWriter(str(folder / "events"), f".{time.time_ns()}")
        self._write(purge_step, session_log=SessionLog(status=SessionLog.START))

    def figures(self, step: int, values: Mapping[str, float]) -> None:
        """Writes figures by name."""
        parts = [part for name, v in values.items() for part in summary.scalar(name, v).value]
        self._write(step, summary=Summary(value=parts))

    def text(self, step: int, name: str, text: str) -> None:
        """Writes a text."""
        self._write(step, summary=summary.text(name, text))

    def close(self) -> None:
        """Ends the file."""
        with naming(self._folder):
            self._writer.close()

    def _write(self, step: int, **content: Any) -> None:
        with naming(self._folder):
            self._writer.write_event(Event(step=step, wall_time=time.time(), **content))
            self._writer.flush()
