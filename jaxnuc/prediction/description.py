"""What a page says of the network that found the nuclei."""

from collections.abc import Mapping
from typing import Any

from jaxnuc import registry
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
    }


def _call(section: Mapping[str, Any]) -> str:
    """A section of a configuration in one line, as commands take it."""
    name, arguments = registry.split(section)
    given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
    return f"{name}({given})" if given else name
