"""What is known of an image before all of it is done, on disk: resumed, or joined from shards."""

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnuc.files import replace_file, replacing
from jaxnuc.inference.stitching import Stitcher
from jaxnuc.inference.stream import Row
from jaxnuc.inference.tiles import Tiling
from jaxnuc.outputs.table import NucleiTable

PLAN = "plan.json"


class Parts:
    """A folder with a file for every row of tiles that is done. Files appear when complete.

    Attributes:
      folder: is made where it is missing.
      plan: what the rows depend on; they are of use only for the same.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        """Begins, or goes on where the folder has rows of the same plan.

        Raises:
          ValueError: the folder has rows of another plan.
        """
        self.folder, self.plan = folder, dict(plan)
        path = folder / PLAN
        if path.is_file():
            check_same(self.plan, json.loads(path.read_text()), str(folder))
        else:
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, json.dumps(self.plan, indent=2).encode())

    def missing(self, rows: Iterable[int]) -> list[int]:
        """Those of the rows that are not done."""
        return [row for row in rows if not self._path("row", row).is_file()]

    def save(self, row: Row) -> None:
        """Keeps a row."""
        row.candidates.save(self._path("row", row.row))

    def save_damage(self, row: int, damage: Sequence[str]) -> None:
        """Keeps what was said, until a row was done, of parts of the image that were damaged."""
        if damage:
            replace_file(self.folder / f"damage_{row:06d}.json", json.dumps(damage).encode())

    def take(self, other: Path) -> None:
        """Takes over what another process has done in another folder.

        Raises:
          ValueError: the folder is not there, or its rows are of another plan.
        """
        if not (other / PLAN).is_file():
            raise ValueError(f"{other} has no {PLAN}; expected what a run with --shard leaves")
        check_same(self.plan, json.loads((other / PLAN).read_text()), str(other))
        for pattern in ("damage_*.json", "row_*.npz"):  # a row is done when it is there
            for path in sorted(other.glob(pattern)):
                with replacing(self.folder / path.name) as temporary:
                    shutil.copyfile(path, temporary)

    def stitched(self, tiling: Tiling) -> Iterator[NucleiTable]:
        """The nuclei of all rows, stitched, with no more in memory than two rows."""
        stitcher = Stitcher(tiling)
        for row in range(tiling.grid[0]):
            yield stitcher.add(NucleiTable.load(self._path("row", row)))
        yield stitcher.finish()

    def damage(self) -> list[str]:
        """What was said of damaged parts, each once."""
        found = sorted(self.folder.glob("damage_*.json"))
        said = [line for path in found for line in json.loads(path.read_text())]
        return list(dict.fromkeys(said))

    def save_final(self, tables: Iterable[NucleiTable]) -> None:
        """Keeps nuclei as they are written to files."""
        for path in self._final():
            path.unlink()
        for number, table in enumerate(tables):
            table.save(self._path("final", number))

    def final(self) -> Iterator[NucleiTable]:
        """The tables of `save_final`."""
        return map(NucleiTable.load, self._final())

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder)

    def _final(self) -> list[Path]:
        return sorted(self.folder.glob("final_*.npz"))

    def _path(self, kind: str, number: int) -> Path:
        return self.folder / f"{kind}_{number:06d}.npz"


def check_same(plan: Mapping[str, Any], other: Mapping[str, Any], where: str) -> None:
    """Refuses what was found in another way.

    Raises:
      ValueError: names the first entry that differs, both values and the way out.
    """
    for key in sorted({*plan, *other}):
        now, then = plan.get(key), other.get(key)
        if json.loads(json.dumps(now)) != then:
            raise ValueError(
                f"{where} was made with {key}={then!r}, now it is {now!r}; take another output "
                "folder, or begin anew with --overwrite"
            )
