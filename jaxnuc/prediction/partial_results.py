"""The nuclei of an image that is not complete, on disk: resumed later, or merged from shards."""

import json
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxnuc.io.atomic import replace_file, replacing
from jaxnuc.io.text_files import read_json
from jaxnuc.outputs.table import NucleiTable
from jaxnuc.prediction.settings import check_same
from jaxnuc.prediction.stitching import Row

SETTINGS = "settings.json"
_OUTPUTS = "outputs.json"
IN_MEMORY = 20_000  # nuclei: tens of megabytes


class PartialResults:
    """A folder with a file for every row of tiles that is done. Files appear when complete."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        outputs: Collection[Path] = (),
        replaceable: Collection[Path] = (),
    ) -> None:
        """Resumes where the folder has rows of the same settings; `begin` makes a new one.

        Args:
          folder: of the rows.
          settings: on which they depend.
          outputs: files that will be written from all rows. The folder remembers them: a run that
            was killed while it wrote them may have left some.
          replaceable: those of them that may exist from the start.

        Raises:
          ValueError: the folder has rows of other settings.
          FileExistsError: an output exists that is neither replaceable nor remembered.
        """
        self.folder, self.settings = folder, dict(settings)
        self._names, self._begun = {path.name for path in outputs}, False
        self._measured: list[NucleiTable] = []
        self._check_settings()
        free = self._remembered() | {path.name for path in replaceable}
        for path in outputs:
            if path.exists() and path.name not in free:
                raise FileExistsError(
                    f"{path} exists; replace it with --overwrite, or move it away"
                )

    def begin(self) -> None:
        """Makes the folder, with the settings and the names of the outputs; `save` does so too.

        Raises:
          ValueError: another process has made it meanwhile, with other settings.
        """
        if self._begun:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._check_settings()
        remembered = self._remembered()
        if not self._names <= remembered:  # a shard leaves this to the run that joins
            names = sorted(self._names | remembered)
            replace_file(self.folder / _OUTPUTS, json.dumps(names).encode())
        if not (self.folder / SETTINGS).is_file():
            replace_file(self.folder / SETTINGS, json.dumps(self.settings, indent=2).encode())
        self._begun = True

    def _check_settings(self) -> None:
        path = self.folder / SETTINGS
        if path.is_file():
            check_same(self.settings, read_json(path), str(self.folder))

    def _remembered(self) -> set[str]:
        path = self.folder / _OUTPUTS
        return set(read_json(path)) if path.is_file() else set()

    def missing(self, rows: Iterable[int]) -> list[int]:
        """The rows that are not done yet."""
        return [row for row in rows if not self._path("row", row).is_file()]

    def save(self, row: Row) -> None:
        """Saves a row."""
        self.begin()
        row.nuclei.save(self._path("row", row.row))

    def save_damage(self, row: int, damage: Sequence[str]) -> None:
        """Saves descriptions of the corrupt regions that were met up to a row, before `save`."""
        if damage:
            self.begin()
            replace_file(self.folder / f"damage_{row:06d}.json", json.dumps(damage).encode())

    def merge(self, other: Path) -> None:
        """Copies rows that another process has done in another folder and that are missing here.

        Raises:
          ValueError: the folder does not exist, or its rows are of other settings.
        """
        if not (other / SETTINGS).is_file():
            raise ValueError(
                f"{other} has no {SETTINGS}; expected the folder of a run with --shard"
            )
        check_same(self.settings, read_json(other / SETTINGS), str(other))
        self.begin()
        for pattern in ("damage_*.json", "row_*.npz"):  # in this order: a row file marks it as done
            for path in sorted(other.glob(pattern)):
                copy = self.folder / path.name
                if not copy.exists():
                    with replacing(copy) as temporary:
                        shutil.copyfile(path, temporary)

    def rows(self, count: int) -> Iterator[NucleiTable]:
        """The nuclei of the first rows, one after the other."""
        return (NucleiTable.load(self._path("row", row)) for row in range(count))

    def damage(self) -> list[str]:
        """The descriptions of all corrupt regions, each once."""
        paths = sorted(self.folder.glob("damage_*.json"))
        lines = [line for path in paths for line in read_json(path)]
        return list(dict.fromkeys(lines))

    def keep_measured(self, tables: Iterable[NucleiTable]) -> None:
        """Keeps the stitched nuclei with their measurements, from which all files are written.

        The first are kept in memory, those of a large image on disk.
        """
        for path in self._measured_files():
            path.unlink()  # of a run that was killed here, and may have had more of them
        self._measured, room = [], IN_MEMORY
        for number, table in enumerate(tables):
            room -= len(table)
            if room >= 0:
                self._measured.append(table)
            else:
                table.save(self._path("measured", number))

    def measured(self) -> Iterator[NucleiTable]:
        """The tables of `keep_measured`."""
        yield from self._measured
        yield from map(NucleiTable.load, self._measured_files())

    def remove(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder)

    def _measured_files(self) -> list[Path]:
        return sorted(self.folder.glob("measured_*.npz"))

    def _path(self, kind: str, number: int) -> Path:
        return self.folder / f"{kind}_{number:06d}.npz"
