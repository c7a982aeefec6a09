"""The columns that files of nuclei share."""

import numpy as np

from jaxnuc.outputs.scene import Scene
from jaxnuc.outputs.table import NucleiTable


def probability_columns(table: NucleiTable, scene: Scene) -> dict[str, np.ndarray]:
    """`probability_NAME` of every class, the background first; nothing where there are none."""
    found = table.class_probabilities
    if found is None:
        return {}
    names = scene.class_names or ("background",)
    return {f"probability_{name}": found[:, k] for k, name in enumerate(names)}


def confidence_columns(table: NucleiTable) -> dict[str, np.ndarray]:
    """`score`, and `agreement` where there is one."""
    agreement = {} if table.agreement is None else {"agreement": table.agreement}
    return {"score": table.scores} | agreement


def all_columns(table: NucleiTable, scene: Scene, first: int) -> dict[str, np.ndarray]:
    """All columns of a table, (N,) by name; `first` is the number of the first nucleus.

    `id`; `class_id`, `class_name` (object, None for 0) and `probability_NAME` where there are
    classes; `score`; `agreement` where there is one; then the measurements.
    """
    found: dict[str, np.ndarray] = {"id": np.arange(first, first + len(table))}
    if table.classes is not None:
        names = np.array(scene.class_names or (None,), object)
        names[0] = None
        found |= {"class_id": table.classes, "class_name": names[table.classes]}
    found |= probability_columns(table, scene) | confidence_columns(table)
    twice = found.keys() & table.measurements.keys()
    if twice:
        raise ValueError(f"measurements may not be called {', '.join(sorted(twice))}: rename them")
    return found | table.measurements


def empty_table(scene: Scene) -> NucleiTable:
    """A table without rows, with the columns of nuclei of this scene."""
    scores = np.zeros(0, np.float32)
    if scene.class_names is None:
        return NucleiTable((), scores)
    probabilities = np.zeros((0, len(scene.class_names)), np.float32)
    return NucleiTable((), scores, np.zeros(0, np.int32), probabilities)
