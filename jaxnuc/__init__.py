"""jaxnuc: nucleus segmentation in microscopy and pathology images with JAX and Flax.

`import jaxnuc` is cheap: a submodule is imported when it is first used, so that metrics and
post-processing serve without JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what editors and type checkers see of the names below
    from jaxnuc import (
        build,
        config,
        data,
        evaluation,
        io,
        labels,
        losses,
        metrics,
        models,
        optim,
        outputs,
        postprocess,
        prediction,
        pretrained,
        registry,
        reports,
        representations,
        run,
        studies,
        training,
    )
    from jaxnuc.prediction.export import export, load_exported
    from jaxnuc.prediction.predict import predict
    from jaxnuc.prediction.predictor import load
    from jaxnuc.prediction.segment import segment
    from jaxnuc.prediction.suggest import suggest
    from jaxnuc.training.loop import train_and_evaluate

__version__ = "0.1.0"

_FUNCTIONS = {
    "export": "jaxnuc.prediction.export",
    "load": "jaxnuc.prediction.predictor",
    "load_exported": "jaxnuc.prediction.export",
    "predict": "jaxnuc.prediction.predict",
    "segment": "jaxnuc.prediction.segment",
    "suggest": "jaxnuc.prediction.suggest",
    "train_and_evaluate": "jaxnuc.training.loop",
}
__all__ = [
    "__version__",
    "build",
    "config",
    "data",
    "evaluation",
    "export",
    "io",
    "labels",
    "load",
    "load_exported",
    "losses",
    "metrics",
    "models",
    "optim",
    "outputs",
    "postprocess",
    "predict",
    "prediction",
    "pretrained",
    "registry",
    "reports",
    "representations",
    "run",
    "segment",
    "studies",
    "suggest",
    "train_and_evaluate",
    "training",
]


if not TYPE_CHECKING:  # or type checkers would take any name at all

    def __getattr__(name: str) -> Any:
        if name in _FUNCTIONS:
            return getattr(importlib.import_module(_FUNCTIONS[name]), name)
        if name in __all__:
            return importlib.import_module(f"jaxnuc.{name}")
        raise AttributeError(f"jaxnuc has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return list(__all__)
