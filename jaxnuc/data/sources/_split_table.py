"""`split.csv`: a data set's images by split and modality."""

from collections.abc import Container
from pathlib import Path

from jaxnuc import registry
from jaxnuc.data.sources._tables import read_csv


def read_table(data: Path, images: Container[str]) -> dict[str, dict[str, str]] | None:
    path = data.parent / "split.csv"
    if not path.exists():
        path = data / "split.csv"
        if not path.exists():
            return None
    table: dict[str, dict[str, str]] = {}
    for line, row in read_csv(path.read_bytes(), str(path), ("image_id", "split")):
        name = row["image_id"]
        if name not in images:
            raise ValueError(
                f"{line}: image_id {name!r} is not in {data}; remove the line or complete the data"
            )
        if name in table:
            raise ValueError(f"{line}: image_id {name!r} twice")
        table[name] = {"split": row["split"], "modality": row.get("modality", "")}
    if not table:
        raise ValueError(f"{path}: lists no images; remove the file for a random split")
    return table


def listed_split(table: dict[str, dict[str, str]], split: str, modality: str | None) -> list[str]:
    splits = {row["split"] for row in table.values()}
    if split not in splits | {"all"}:
        raise registry.unknown("split", split, splits | {"all"})
    modalities = {row["modality"] for row in table.values()} - {""}
    if modality is not None and modality not in modalities:
        raise registry.unknown("modality", modality, modalities)
    chosen = [
        name
        for name, row in sorted(table.items())
        if split in (row["split"], "all") and modality in (row["modality"], None)
    ]
    if not chosen:
        raise ValueError(f"split {split!r} of split.csv has no image of modality {modality!r}")
    return chosen
