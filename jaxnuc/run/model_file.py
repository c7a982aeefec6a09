"""A trained network as one file, small enough to be shipped and shared.

It is an NPZ file of the parameters and running statistics that are evaluated, in 16 bits, by their
paths, and of `model`, JSON text of everything else that a checkpoint has for its use.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxnuc.io.atomic import replacing
from jaxnuc.io.npy import decode_npz, npz_names
from jaxnuc.labels import LabelSet
from jaxnuc.run import digests
from jaxnuc.run.cards import SUFFIX

_MODEL = "model"


@dataclass(frozen=True)
class TrainedModel:
    """What a network needs to be used, with nothing of its training but where it is from.

    Attributes:
      config: of the training, as plain data.
      label_sets: of the data, for a class map.
      areas: of the nuclei in the training, see `jaxnuc.data.sizes.area_quantiles`.
      date: when its checkpoint was saved.
      thresholds: of the decoder, where they were optimized.
      variables: `{"params": ..., "batch_stats": ...}`, float32.
    """

    config: dict[str, Any]
    label_sets: tuple[LabelSet, ...]
    areas: tuple[float, ...]
    date: str
    thresholds: dict[str, float]
    variables: dict[str, Any]


def is_model(path: Path) -> bool:
    """Whether a file is one that `write` wrote, by the names of its arrays.

    Raises:
      ValueError: it has the suffix of one, and is damaged.
    """
    if path.suffix != SUFFIX or not path.is_file():
        return False
    return _MODEL in npz_names(path.read_bytes(), str(path))


def write(path: Path, model: TrainedModel) -> None:
    """Writes a model, which replaces a file of this name.

    Raises:
      ValueError: a value is too large for 16 bits.
    """
    flat: Mapping[str, Any] = flatten_dict(model.variables, sep="/")
    with np.errstate(over="ignore"):  # infinities are refused below
        arrays: dict[str, Any] = {
            name: np.asarray(array).astype(np.float16) for name, array in flat.items()
        }
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} holds values beyond those of 16 bits; the model is not saved")
    about = {
        "config": model.config,
        "label_sets": [each.to_json() for each in model.label_sets],
        "areas": list(model.areas),
        "date": model.date,
        "thresholds": model.thresholds,
        "arrays": digests.of_arrays(arrays),
    }
    text = json.dumps(digests.sealed(json.loads(json.dumps(about)))).encode()
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays | {_MODEL: np.frombuffer(text, np.uint8)})


def read(path: Path) -> TrainedModel:
    """Reads what `write` wrote.

    Raises:
      ValueError: the file is damaged or something else; names it.
    """
    data = path.read_bytes()
    try:
        arrays = decode_npz(data, str(path), npz_names(data, str(path)))
        about = digests.unsealed(json.loads(arrays.pop(_MODEL).tobytes()), str(path))
        if digests.of_arrays(arrays) != about["arrays"]:
            raise ValueError("its arrays are not those that it states")
        variables = {name: array.astype(np.float32) for name, array in arrays.items()}
        return TrainedModel(
            about["config"],
            tuple(LabelSet.from_json(each) for each in about["label_sets"]),
            tuple(about["areas"]),
            about["date"],
            about["thresholds"],
            {"batch_stats": {}} | unflatten_dict(variables, sep="/"),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no file of a model, or damaged ({error}); `jaxnuc export "
            "--output=NAME.npz` writes one of a run"
        ) from error
