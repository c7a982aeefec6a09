"""The arrays that losses take and give, for their annotations."""

import jax
import numpy as np
from jaxtyping import Float, Shaped

# NumPy arrays are as welcome as those of JAX, which a jitted function makes of them anyway.
Array = jax.Array | np.ndarray
Scalar = Float[Array, ""] | np.floating
Number = float | Shaped[Array, ""]  # an argument that may be traced
