"""jaxnuc: nucleus segmentation in microscopy and pathology images with JAX and Flax.

`import jaxnuc` is cheap: a submodule is imported when it is first used, so that metrics and
post-processing serve without JAX.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_MODULES = (
    "config",
    "data",
    "images",
    "losses",
    "metrics",
    "models",
    "optim",
    "outputs",
    "postprocess",
    "representations",
    "training",
    "weights",
)
_FUNCTIONS = {
    "export": "jaxnuc.inference.export",
    "load": "jaxnuc.inference.predictor",
    "load_exported": "jaxnuc.inference.export",
    "predict": "jaxnuc.inference.predict",
    "segment": "jaxnuc.inference.segment",
    "train_and_evaluate": "jaxnuc.training.loop",
}
__all__ = ["__version__", *_MODULES, *_FUNCTIONS]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"jaxnuc.{name}")
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'jaxnuc' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
