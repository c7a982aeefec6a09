"""Evaluates what a training left in a workdir, knowing nothing but the workdir."""

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from jaxnuc import labels
from jaxnuc.data.sample import Sample, Source
from jaxnuc.data.sources.mixture import only, relabeled
from jaxnuc.data.splits import open_split
from jaxnuc.evaluation.evaluate import evaluate
from jaxnuc.evaluation.options import EvaluationOptions
from jaxnuc.evaluation.thresholds import optimize_thresholds
from jaxnuc.evaluation.validate import monitors_of
from jaxnuc.io.atomic import replace_file
from jaxnuc.io.listing import plain_name
from jaxnuc.metrics import Summary, figures_csv
from jaxnuc.prediction.patches import OVERLAP
from jaxnuc.prediction.predictor import Diameter, Predictor, load
from jaxnuc.prediction.segment import SizedPredictor, at_expected_size
from jaxnuc.prediction.sized import resized_labels
from jaxnuc.run import checkpoints
from jaxnuc.run.log import LOG, NOT_TRAINED, TrainingLog, read_log

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """On what is evaluated: a split, perhaps of another source than that of the training.

    Attributes:
      source: its name, or its section `{"name": ..., **arguments}`; None: that of the training.
      root: where its files are; None: as in the training.
      label_set: the classes that are scored, a name of `jaxnuc.labels`; nuclei of others count in
        no class. None: the finest of the data's own.
    """

    split: str = "test"
    source: str | Mapping[str, Any] | None = None
    root: str | None = None
    label_set: str | None = None

    def open(self, config: ConfigDict) -> dict[str, Source]:
        """The split, of a mixture each of its data sets, by labels for tables and files.

        Args:
          config: of the training.

        Raises:
          FileNotFoundError: there are no such data.
          ValueError: an unknown source, split or label set, or classes that it would divide.
        """
        trained = config.data.source.to_dict()
        section = {"name": self.source} if isinstance(self.source, str) else self.source or trained
        root, name = self.root, section["name"]
        if root is None:
            root = config.data.root if name == trained["name"] else ""
        mpp = config.data.mpp or None
        try:
            source = open_split(section, root, self.split, mpp=mpp, stream=False)
        except FileNotFoundError as error:
            if self.root is not None or self.source is not None:
                raise
            raise FileNotFoundError(
                f"{error}; this is where the training had its data: give root (--root) if they "
                "are elsewhere"
            ) from None
        # The arguments of the training's own source go without saying.
        given = [] if self.source is None else [k for k in section if k not in ("name", "root")]
        arguments = ", ".join(f"{key}={section[key]!r}" for key in given)
        own = {name + (f"({arguments})" if arguments else ""): source}
        opened = dict(source.sets) or own
        if self.label_set is None:
            return opened
        return {f"{label} at {self.label_set}": self._read(s) for label, s in opened.items()}

    def _read(self, source: Source) -> Source:
        """The source with the classes of the label set that is asked for."""
        if source.label_set is None:
            raise ValueError(
                f"label_set={self.label_set!r}, but {source.name!r} has no classes; leave it out"
            )
        tree = source.label_set.tree
        return relabeled(source, labels.label_set(str(self.label_set), tree=tree))


@dataclass(frozen=True)
class Inference:
    """How the nuclei of an image are computed.

    Attributes:
      symmetries: test-time augmentation: 8 averages maps over the symmetries of the square, 4 over
        the quarter turns, 1 takes the image as it is.
      patch: side of what the network sees at once, a multiple of 64; None: the whole image.
      overlap: of neighboring patches in pixels, a multiple of 32.
      decoder: section in place of the one with which the network was trained: see `jaxnuc.load`.
      diameter: of nuclei, in pixels, `"auto"` or `"off"`: see
        `jaxnuc.prediction.predictor.Predictor`.

    Raises:
      ValueError: other symmetries.
    """

    symmetries: int = 1
    patch: int | None = None
    overlap: int = OVERLAP
    decoder: Mapping[str, Any] | None = None
    diameter: Diameter = None

    def __post_init__(self) -> None:
        if self.symmetries not in (1, 4, 8):
            raise ValueError(f"symmetries={self.symmetries}; known: 1, 4, 8")


TEST, PLAIN, AS_CONFIGURED = Data(), Inference(), EvaluationOptions()


def evaluate_checkpoint(
    workdir: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    checkpoint: str | int = "best",
    *,
    output: str | os.PathLike[str] | None = None,
    data: Data = TEST,
    inference: Inference = PLAIN,
    options: EvaluationOptions = AS_CONFIGURED,
) -> tuple[Summary, Path]:
    """Restores a checkpoint, or an ensemble of several, and evaluates it on a split.

    Args:
      workdir: of the training, or the folder of one checkpoint; several are an ensemble, see
        `jaxnuc.load`.
      checkpoint: `"best"`, `"latest"` or a step.
      output: folder for the report; None: `eval_<source>_<split>` in the workdir, which
        an ensemble has not; of a model NAME in `evaluated_NAME`.
      data: on what is evaluated.
      inference: how the nuclei are computed.
      options: what is computed; None in it: as in the configuration of the training.

    Returns:
      The figures, and the folder of `metrics.json`, `report.html` and the other files.

    Raises:
      FileNotFoundError: no such workdir, checkpoint or data.
      ValueError: a damaged checkpoint, an unknown source, split, metric or protocol, other patches,
        an ensemble that does not fit together or has no `output`, several data sets in a mixture.
    """
    restored = _Restored(workdir, checkpoint, output, inference)
    opened = restored.opened([data])
    if len(opened) > 1:
        raise ValueError(
            f"the data are a mixture of {', '.join(opened)}, each of which has figures of its own; "
            "take evaluate_on_several, or name one of them as the source"
        )
    found, folder = restored.evaluated(opened, options)
    (figures,) = found.values()
    return figures, folder


def evaluate_on_several(
    workdir: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    checkpoint: str | int = "best",
    *,
    data: Sequence[Data],
    output: str | os.PathLike[str] | None = None,
    inference: Inference = PLAIN,
    options: EvaluationOptions = AS_CONFIGURED,
) -> tuple[dict[str, Summary], Path]:
    """Evaluates a checkpoint on several data sets, as `evaluate_checkpoint` does on one.

    A mixture is as many data sets as it has, each with the classes of its own label set.

    Args:
      workdir: as there.
      checkpoint: as there.
      data: on what is evaluated.
      output: gets a folder for each data set, and `evaluations.csv`, a line for each figure of each
        of them with its interval; None: the workdir. Of one data set, as there.
      inference: as there.
      options: as there.

    Returns:
      The figures by data set, and the path of the table; of one data set its folder.

    Raises:
      FileNotFoundError: as there.
      ValueError: as there, or a data set is named twice.
    """
    restored = _Restored(workdir, checkpoint, output, inference)
    return restored.evaluated(restored.opened(data), options)


class _Restored:
    """The networks of a checkpoint, or of an ensemble, for evaluations."""

    def __init__(
        self,
        workdir: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        checkpoint: str | int,
        output: str | os.PathLike[str] | None,
        inference: Inference,
    ) -> None:
        workdirs = [workdir] if isinstance(workdir, str | os.PathLike) else list(workdir)
        if len(workdirs) > 1 and output is None:
            raise ValueError(
                f"an ensemble of {len(workdirs)} workdirs has no folder of its own; give an output"
            )
        self.output = None if output is None else Path(output)
        self.workdir = Path(workdirs[0])
        self.folders = [checkpoints.find(each, checkpoint) for each in workdirs]
        if self.folders[0].is_file():  # of a model, which has no folder
            self.workdir = Path(f"evaluated_{self.folders[0].stem}")
        self.log = self.workdir / LOG
        self.predictor = load(
            self.folders,
            symmetries=range(inference.symmetries),
            decoder=inference.decoder,
            diameter=inference.diameter,
        )
        self.inference = inference

    def opened(self, data: Sequence[Data]) -> dict[str, tuple[Source, str]]:
        """The data sets with their splits, by label: all, before one is evaluated for hours."""
        found: dict[str, tuple[Source, str]] = {}
        for each in data:
            for label, source in each.open(self.predictor.config).items():
                if each.label_set is not None:  # refused where the classes cannot be read at it
                    replace(self.predictor, label_set=source.label_set)
                if label in found:
                    raise ValueError(f"data set {label} is named twice; name each once")
                found[label] = source, each.split
        return found

    def evaluated(
        self, data: Mapping[str, tuple[Source, str]], options: EvaluationOptions
    ) -> tuple[dict[str, Summary], Path]:
        """Evaluates the networks on the data sets; where there are several, writes the table."""
        base, found = self.output or self.workdir, {}
        for label, (source, split) in data.items():
            folder = base / f"eval_{plain_name(label).strip('_')}_{split}"
            if len(data) == 1 and self.output is not None:
                folder = self.output
            found[label] = self._evaluate(source, split, folder, options)
        if len(data) == 1:
            return found, folder
        path = base / "evaluations.csv"
        replace_file(path, figures_csv(found).encode())
        return found, path

    def _evaluate(
        self, source: Source, split: str, folder: Path, options: EvaluationOptions
    ) -> Summary:
        """Evaluates the networks on a split and writes the report."""
        logger.info("images of %s, %s: %d; output %s", source.name, split, len(source), folder)
        logger.info("the network is compiled for each size of image")
        patch, overlap = self.inference.patch, self.inference.overlap
        segment = at_expected_size(self.predictor, patch, overlap)
        one = len(self.folders) == 1
        training = NOT_TRAINED
        if one and self.log.is_file():
            training = TrainingLog(read_log(self.log), monitors_of(self.predictor.config))
        return evaluate(
            segment,
            source,
            options.completed(self.predictor.config),
            output=folder,
            training=training,
            about={
                "split": split,
                "checkpoint": self.folders[0].name if one else [str(f) for f in self.folders],
                "symmetries": self.inference.symmetries,
                "decoder": None if self.inference.decoder is None else dict(self.inference.decoder),
                "diameter": self.predictor.sizes or None,
                "patch": None if patch is None else {"side": patch, "overlap": overlap},
                "thresholds": checkpoints.read_thresholds(self.folders[0]) or None,
            },
        )


def maps_and_truth(
    predictor: Predictor, sample: Sample
) -> tuple[Mapping[str, np.ndarray], np.ndarray]:
    """Maps of an image, and its true instances (H, W), at the size at which it is seen."""
    if not predictor.sizes:
        return predictor.maps(sample.image), sample.instances
    seen = SizedPredictor(predictor).maps(sample.image)
    back = 1 / seen.scale[0], 1 / seen.scale[1]
    return seen.maps, resized_labels(sample.instances, back, seen.shape)


def optimize_checkpoint(
    workdir: str | os.PathLike[str],
    checkpoint: str | int = "best",
    *,
    source: Source | None = None,
    choices: Mapping[str, Sequence[float]] | None = None,
) -> dict[str, float]:
    """Chooses a checkpoint's thresholds on the split "val" and stores them with it, for `load`.

    Where the training had episodes, by the images of the data sets of the last one.

    Where a training has several processes, all of them call this, and the first one stores.

    Args:
      workdir: of the training, or the folder of one checkpoint.
      checkpoint: `"best"`, `"latest"` or a step.
      source: the images; None: opened as the checkpoint's configuration says.
      choices: see `optimize_thresholds`; None: `evaluation.threshold_choices` of the configuration.

    Raises:
      FileNotFoundError: no such workdir, checkpoint or data.
      ValueError: the representation has no thresholds to choose.
    """
    folder = checkpoints.find(workdir, checkpoint)
    predictor = load(folder)
    if source is None:
        data, episodes = predictor.config.data, predictor.config.episodes
        source = open_split(data.source, data.root, "val", mpp=data.mpp or None, stream=False)
        source = only(source, episodes[-1].get("sources", ()) if episodes else ())
    pairs = (maps_and_truth(predictor, source[index]) for index in range(len(source)))
    if choices is None:
        choices = predictor.config.evaluation.threshold_choices
    found = optimize_thresholds(pairs, predictor.representation, choices=choices)
    if jax.process_index() == 0:
        checkpoints.write_thresholds(folder, found.thresholds, found.figure)
    return found.thresholds
