"""What a summary says of the networks that found the nuclei, and what their results depend on."""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxnuc import registry
from jaxnuc.prediction.options import PredictionOptions
from jaxnuc.prediction.predictor import Predictor


def describe(predictor: Predictor) -> dict[str, Any]:
    """Name, classes, training and checkpoint of a predictor, as plain data.

    What is not known is None, such as the checkpoint of a network that was not loaded from one.
    """
    config = predictor.config
    origins = [network.origin for network in predictor.networks]
    known = [origin for origin in origins if origin is not None]
    names = predictor.decode.class_names
    areas = known[0].areas if known else ()
    return {
        "network": _call(config.model),
        "representation": _call(config.representation),
        "classes": [] if names is None else list(names[1:]),
        "trained_on": _call(config.data.source),
        "microns_per_pixel": config.data.mpp or None,
        "checkpoint": [origin.checkpoint for origin in known] or None,
        "saved": [origin.saved for origin in known] or None,
        "areas_of_training_px": list(areas) or None,
        "diameter_of_training_px": predictor.trained_diameter,
    }


def model_settings(predictor: Predictor, options: PredictionOptions) -> dict[str, Any]:
    """Everything that the nuclei depend on except the image."""
    label_set = predictor.label_set
    digest = hashlib.sha256(repr(predictor.representation).encode())
    digest.update(predictor.config.to_json(sort_keys=True).encode())
    for leaf in jax.tree.leaves(jax.device_get(predictor.variables)):
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return {
        "model": digest.hexdigest()[:16],
        "symmetries": list(predictor.symmetries),
        "merge": predictor.merge,
        "agreement": predictor.agreement,
        "label_set": None if label_set is None else label_set.to_json()["labels"],
        "patch": options.tiling.patch,
        "overlap": options.tiling.overlap,
        "tile": options.tiling.tile,
        "diameter": predictor.sizes or None,
        "tissue": options.tissue,
        "stains": options.stains,
        "series": options.image,
        "channel": list(options.planes.channel),
        "z": options.planes.z,
        "time": options.planes.time,
        "bounds": options.bounds,
    }


def _call(section: Mapping[str, Any]) -> str:
    """A section of a configuration in one line, as commands take it."""
    name, arguments = registry.split(section)
    given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"{name}({given})" if given else name
