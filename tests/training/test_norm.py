"""The norm of a tree, in the log of every step."""

import jax
import numpy as np
import pytest

from jaxnuc.training.step import SMALL, norm


@pytest.mark.parametrize("sides", [[(3, 4), (), (5,)], [(SMALL + 1,)], [(2, SMALL), (7,), (1, 1)]])
def test_is_that_of_all_numbers_in_one_vector(sides):
    rng = np.random.default_rng(0)
    leaves = [rng.normal(size=shape).astype(np.float32) for shape in sides]
    expected = np.linalg.norm(np.concatenate([x.ravel() for x in leaves]).astype(np.float64))
    found = jax.jit(norm)({"a": leaves[0], "b": leaves[1:]})
    assert (found.shape, found.dtype) == ((), np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
