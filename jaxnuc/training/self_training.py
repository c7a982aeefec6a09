"""Self-training: a student learns from its own slowly averaged parameters on unlabeled images.

Tarvainen and Valpola, "Mean teachers are better role models: Weight-averaged consistency targets
improve semi-supervised deep learning results", NeurIPS 2017; for images of another domain French
et al., "Self-ensembling for visual domain adaptation", ICLR 2018.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from ml_collections import ConfigDict

from jaxnuc.data import pipeline, transforms
from jaxnuc.data.normalize import Normalize
from jaxnuc.data.splits import open_split
from jaxnuc.durations import TrainingLength
from jaxnuc.models import Network
from jaxnuc.postprocess.checks import within
from jaxnuc.representations import Representation
from jaxnuc.representations.symmetries import check_symmetries, restore, transform
from jaxnuc.training.state import TrainState

Maps = Mapping[str, jax.Array]  # {map: (B, H, W, C)}


class Lesson(NamedTuple):
    """What a student is to learn from.

    Attributes:
      images: (B, H, W, 3) float32 in [0, 1], turned.
      teacher: its maps of the images as they were before they were turned.
      symmetry: by which; its place in `SelfTraining.symmetries`, () int32.
    """

    images: jax.Array
    teacher: Maps
    symmetry: jax.Array


@dataclass(frozen=True)
class SelfTraining:
    """What a step does with unlabeled images.

    The teacher, whose parameters are an average of the student's, sees a crop; the student sees it
    with other colors, under a symmetry of the square that the step draws. The student's maps are
    turned back, and compared with the teacher's where the teacher is confident.

    Attributes:
      representation: of the maps; its `consistency` compares them.
      weight: of the consistency beside the loss, once the warmup is over.
      warmup: steps over which the weight rises from 0.
      decay: of the teacher's parameters.
      confidence: the probability from which the teacher is believed.
      symmetries: under which the student sees the crop, of 0..7.

    Raises:
      ValueError: a value out of range, or symmetries that the maps cannot be turned by.
    """

    representation: Representation
    weight: float = 1.0
    warmup: int = 0
    decay: float = 0.99
    confidence: float = 0.9
    symmetries: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        if self.weight < 0:
            raise ValueError(f"self_training.weight={self.weight} must not be negative")
        within(self.decay, "self_training.decay")
        within(self.confidence, "self_training.confidence")
        maps = self.representation.output_maps
        try:
            check_symmetries(self.symmetries, maps)
            for k in self.symmetries:
                restore(
                    {name: np.zeros((1, 1, each.channels)) for name, each in maps.items()}, maps, k
                )
        except ValueError as error:
            raise ValueError(f"self_training.symmetries: {error}") from error
        grid = self.representation.grid
        if grid > 1 and self.symmetries != (0,):
            raise ValueError(
                f"self_training.symmetries={self.symmetries}: under them the points of maps on a "
                f"grid of {grid} come to lie between those of the crop; take (0,)"
            )

    def factor(self, step: jax.Array) -> jax.Array:
        """The weight of the consistency at a step."""
        return self.weight * jnp.minimum(1.0, (step + 1) / max(self.warmup, 1))

    def prepare(
        self,
        model: Network,
        state: TrainState,
        unlabeled: Mapping[str, jax.Array],
        shape: tuple[int, ...],
        rng: jax.Array,
    ) -> Lesson:
        """What the student sees at a step, and the teacher's answer.

        Args:
          model: the network.
          state: before the step, with a teacher.
          unlabeled: `image` and `student`, (B, H, W, 3) float32 in [0, 1].
          shape: of the labeled images, which are in one batch with the student's.
          rng: the same on all devices.

        Raises:
          ValueError: images of another size than the labeled ones, or that cannot be turned.
        """
        height, width = unlabeled["image"].shape[1:3]
        if shape[1:3] != (height, width):
            raise ValueError(
                f"data.transforms gives images of {shape[1:3]} pixels, self_training.transforms of "
                f"{(height, width)}; they are in one batch, give both one size"
            )
        if height != width and any(k % 2 for k in self.symmetries):
            raise ValueError(
                f"self_training: images of {(height, width)} pixels cannot make a quarter turn; "
                "take square ones, or symmetries=(0, 2, 4, 6)"
            )
        variables = {"params": state.teacher, "batch_stats": state.batch_stats}
        teacher: Any = model.apply(variables, unlabeled["image"])
        symmetry = jax.random.randint(rng, (), 0, len(self.symmetries))
        turn = lambda k: jax.vmap(partial(transform, k=k))
        return Lesson(self._under(symmetry, turn, unlabeled["student"]), teacher, symmetry)

    def compare(self, student: Maps, lesson: Lesson) -> tuple[jax.Array, jax.Array]:
        """The consistency of the student's maps, and the share of confident pixels."""
        output_maps = self.representation.output_maps
        back = lambda k: jax.vmap(partial(restore, output_maps=output_maps, k=k))
        maps = self._under(lesson.symmetry, back, student)
        return self.representation.consistency(maps, lesson.teacher, self.confidence)

    def _under(self, symmetry: jax.Array, function: Callable[[int], Callable], x: Any) -> Any:
        return lax.switch(symmetry, [function(k) for k in self.symmetries], x)


def plan(
    config: ConfigDict, model: Network, representation: Representation, length: TrainingLength
) -> SelfTraining | None:
    """What the section `self_training` of a configuration says; None where it has no source.

    Raises:
      ValueError: a value out of range, or one that does not fit the maps.
    """
    section = config.self_training
    if section.source["name"] == "none":
        return None
    symmetries = tuple(section.symmetries)
    if model.margin % 2 and symmetries != (0,):
        raise ValueError(
            f"self_training.symmetries={symmetries}: the network's margin of {model.margin} pixels "
            "is not the same at both ends; take (0,)"
        )
    return SelfTraining(
        representation=representation,
        weight=section.weight,
        warmup=length.steps(section.warmup, "self_training.warmup"),
        decay=section.decay,
        confidence=section.confidence,
        symmetries=symmetries,
    )


def with_unlabeled(
    batches: pipeline.Batches, config: ConfigDict, process: tuple[int, int]
) -> pipeline.Batches:
    """The batches of a training with those of the unlabeled images that a configuration names.

    Raises:
      ValueError: the source or the transforms are refused.
      FileNotFoundError: the images are not there.
    """
    section, data, seed = config.self_training, config.data, config.seed
    same = section.source["name"] == data.source["name"]
    root = section.root or (data.root if same else "")
    source = open_split(section.source, root, section.split, data.mpp or None, seed, stream=True)
    return pipeline.with_unlabeled(
        batches,
        source,
        [Normalize(data.normalize), *transforms.parse(section.transforms)],
        transforms.parse(section.student_transforms),
        section.batch_size,
        seed,
        process,
    )
