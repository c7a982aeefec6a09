"""Files of microscopes, read in a process of their own.

Native code of their libraries can end the process that calls it on a damaged file, at any region.
So it is another one that ends, which costs that file and not the run.
"""

import contextlib
import functools
import itertools
import json
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from jaxnuc.io.child_process import ChildEnded, ChildProcess
from jaxnuc.io.large_image import Box, Contents, CorruptRegion, LargeImage
from jaxnuc.io.limits import MOST_BYTES, MOST_PIXELS
from jaxnuc.io.planes import Absent, Planes, Unchosen

_ERRORS = {"Unchosen": Unchosen, "Absent": Absent, "ImportError": ImportError}
_numbers = itertools.count()
_MEMORY = 4 * MOST_BYTES  # a plane that may be read, as it is stored, as it is converted, and more


class SeparateImage(LargeImage):
    """An image that another process opens and reads, one for all files of this process."""

    def __init__(
        self, reader: str, path: Path, series: int | None, planes: Planes, most_pixels: int
    ) -> None:
        """Opens an image.

        Args:
          reader: "czi" or "bioio".
          path: of the file.
          series: number of the scene, from 0; None: the only one.
          planes: of the scene, where there are several.
          most_pixels: that are read at once.

        Raises:
          ValueError: what the reader raises, or its library ended the process.
          ImportError: what the reader raises.
        """
        self._where, self._file = str(path), str(path.absolute())
        # With each request, for a process that was started anew, or by a fork.
        self._opening = {
            "image": next(_numbers),
            "path": self._file,
            "reader": reader,
            "series": series,
            "planes": asdict(planes),
            "most_pixels": most_pixels,
        }
        opened, _ = self._ask({})
        super().__init__(self._where, [tuple(s) for s in opened["shapes"]], opened["pixel_size"])
        self.dtype = np.dtype(opened["dtype"])
        self.contents = Contents(**opened["contents"])

    def _read(self, level: int, box: Box) -> np.ndarray:
        answer, data = self._ask({"level": level, "box": box})
        return np.frombuffer(data, answer["dtype"]).reshape(answer["shape"])

    def _ask(self, request: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes]:
        try:
            answer, data = _child(os.getpid()).ask({**self._opening, **request})
        except ChildEnded as ended:
            raise ValueError(
                f"{self._where}: damaged; the library that reads it ended its process (status "
                f"{ended.status}); fetch it again"
            ) from ended
        if "corrupt" in answer:
            level, box, reason = answer["corrupt"]
            raise CorruptRegion(self._where, level, Box(*box), reason)
        if "error" in answer:
            text = answer["text"].replace(self._file, self._where)
            raise _ERRORS.get(answer["error"], ValueError)(text)
        return answer, data

    def close(self) -> None:
        """Closes the file."""
        child = _child(os.getpid())
        if child.runs:
            with contextlib.suppress(ChildEnded):
                child.ask({**self._opening, "close": True})


_child = functools.cache(
    lambda pid: ChildProcess("from jaxnuc.io.separate_image import serve; serve()")
)


def _opened(request: Mapping[str, Any]) -> LargeImage:
    from jaxnuc.io.czi import CziImage
    from jaxnuc.io.microscopy import MicroscopyImage

    path, series, most = Path(request["path"]), request["series"], request["most_pixels"]
    # What is asked for beyond, as by a damaged header, is refused to the library.
    limit = _MEMORY * max(most, MOST_PIXELS) // MOST_PIXELS
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))
    planes = Planes(**request["planes"] | {"channel": tuple(request["planes"]["channel"])})
    if request["reader"] == "czi":
        return CziImage(path, series, planes)
    return MicroscopyImage(path, series, planes, most)


def serve() -> None:
    """Answers the requests of `SeparateImage`, in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # where libraries may print
    images: dict[int, LargeImage] = {}
    answer: dict[str, Any]
    for line in sys.stdin:
        request, data = json.loads(line), b""
        number = request["image"]
        try:
            if "close" in request:
                if number in images:
                    images.pop(number).close()
                answer = {"closed": number}
            else:
                image = images[number] = images.get(number) or _opened(request)
                if "box" in request:
                    pixels = image._readable(request["level"], Box(*request["box"]))
                    data = np.ascontiguousarray(pixels).tobytes()
                    answer = {"dtype": pixels.dtype.str, "shape": pixels.shape, "bytes": len(data)}
                else:
                    answer = {
                        "shapes": [level.shape for level in image.levels],
                        "pixel_size": image.pixel_size,
                        "dtype": image.dtype.str,
                        "contents": asdict(image.contents),
                    }
        except CorruptRegion as error:
            answer, data = {"corrupt": [error.level, error.box, error.reason]}, b""
        except Exception as error:  # of any type
            answer, data = {"error": type(error).__name__, "text": str(error)}, b""
        answers.write(json.dumps(answer, default=int).encode() + b"\n" + data)
        answers.flush()
