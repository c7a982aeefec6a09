"""What is known of an image before all of it is done, on disk: resumed, or joined from shards."""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnuc.io.atomic import replace_file, replacing
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.prediction.plan import check_same
from jaxnuc.prediction.stitching import Stitcher
from jaxnuc.prediction.stream import Row
from jaxnuc.prediction.tiles import Tiling

PLAN = "plan.json"
_OUTPUTS = "outputs.json"


class Parts:
    """A folder with a file for every row of tiles that is done. Files appear when complete.

    Attributes:
      folder: is made where it is missing.
      plan: what the rows depend on; they are of use only for the same.
    """

    def __init__(
        self,
        folder: Path,
        plan: Mapping[str, Any],
        outputs: Collection[Path] = (),
        replaceable: Collection[Path] = (),
    ) -> None:
        """Begins, or goes on where the folder has rows of the same plan.

        Args:
          folder: of the rows.
          plan: what they depend on.
          outputs: files that will be written from all rows. The folder remembers them: they may be
            there when a run that was killed while it wrote them goes on.
          replaceable: those of them that may be there from the beginning.

        Raises:
          ValueError: the folder has rows of another plan.
          FileExistsError: an output exists that is neither replaceable nor remembered.
        """
        self.folder, self.plan = folder, dict(plan)
        begun, known = folder / PLAN, folder / _OUTPUTS
        if begun.is_file():
            check_same(self.plan, json.loads(begun.read_text()), str(folder))
        remembered = set(json.loads(known.read_text())) if known.is_file() else set()
        names = {path.name for path in outputs}
        free = remembered | {path.name for path in replaceable}
        for path in outputs:
            if path.exists() and path.name not in free:
                raise FileExistsError(
                    f"{path} exists; replace it with --overwrite, or move it away"
                )
        folder.mkdir(parents=True, exist_ok=True)
        if not names <= remembered:  # a shard leaves this to the run that joins
            replace_file(known, json.dumps(sorted(names | remembered)).encode())
        if not begun.is_file():
            replace_file(begun, json.dumps(self.plan, indent=2).encode())

    def missing(self, rows: Iterable[int]) -> list[int]:
        """Those of the rows that are not done."""
        return [row for row in rows if not self._path("row", row).is_file()]

    def save(self, row: Row) -> None:
        """Keeps a row."""
        row.candidates.save(self._path("row", row.row))

    def save_damage(self, row: int, damage: Sequence[str]) -> None:
        """Keeps what was said, until a row was done, of parts of the image that were damaged.

        It comes before `save`.
        """
        if damage:
            replace_file(self.folder / f"damage_{row:06d}.json", json.dumps(damage).encode())

    def take(self, other: Path) -> None:
        """Takes over what another process has done in another folder, and is not here yet.

        Raises:
          ValueError: the folder is not there, or its rows are of another plan.
        """
        if not (other / PLAN).is_file():
            raise ValueError(f"{other} has no {PLAN}; expected what a run with --shard leaves")
        check_same(self.plan, json.loads((other / PLAN).read_text()), str(other))
        for pattern in ("damage_*.json", "row_*.npz"):  # a row is done when it is there
            for path in sorted(other.glob(pattern)):
                mine = self.folder / path.name
                if not mine.exists():
                    with replacing(mine) as temporary:
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
