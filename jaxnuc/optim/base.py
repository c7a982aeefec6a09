"""What every method is: its arguments, and the Optax transformations that they make."""

from dataclasses import dataclass
from typing import ClassVar

import jax
import optax

from jaxnuc.durations import TrainingLength

Chain = dict[str, optax.GradientTransformation]


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """A method with its arguments, as a section of the configuration gives them.

    A method defines `direction`, or the whole `chain`.

    Attributes:
      learning_rate: the highest; the schedule says what it is at a step.
      weight_decay: share of the parameters; added to the gradient (L2), as PyTorch's SGD, Adam and
        RMSprop do, or to the direction where the method is `decoupled`.
      decay_all: weight decay of biases and normalizations too, as PyTorch has it by default; these
        are left out otherwise.
      frozen: regular expression of the paths of parameters that are held at first; see
        `frozen_at_first`.
      frozen_until: for how long, such as `"50 epochs"`.
      taken_rate: share of the learning rate for the parameters that weights gave; see
        `jaxnuc.optim.taken`.
      taken_frozen_until: for how long these are held at first, as `frozen` ones are.
    """

    learning_rate: float
    weight_decay: float = 0.0
    decay_all: bool = False
    frozen: str = ""
    frozen_until: str = ""
    taken_rate: float = 1.0
    taken_frozen_until: str = ""

    decoupled: ClassVar[bool] = False
    own_rate: ClassVar[bool] = False
    """Whether it sets the learning rate itself at some time, so that a plateau cannot lower it."""

    def decay_of(self, weight_decay: float) -> optax.GradientTransformation:
        """Adds a share of the parameters; unless `decay_all`, of those with more than one axis."""
        decayed = lambda params: jax.tree.map(lambda x: self.decay_all or x.ndim > 1, params)
        return optax.add_decayed_weights(weight_decay, decayed)

    def direction(self) -> Chain:
        """The transformations from a gradient to the direction of the step."""
        raise NotImplementedError

    def chain(self, rate: optax.Schedule, length: TrainingLength) -> Chain:
        """The transformations from a gradient to what is added to the parameters.

        Args:
          rate: learning rate by step.
          length: of the training.
        """
        decay: Chain = {}
        if self.weight_decay:
            decay["weight_decay"] = self.decay_of(self.weight_decay)
        parts = self.direction() | decay if self.decoupled else decay | self.direction()
        return parts | {"learning_rate": optax.scale_by_learning_rate(rate)}
