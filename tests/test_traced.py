"""Results of traced functions against those of the functions."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnuc.traced import results


def function(x, y):
    return {
        "input": y,
        "copy": jnp.copy(x),
        "filled": jnp.full((2, 3), 7, jnp.int8),
        "literal": jnp.float32(-1),
        "constant": np.arange(4, dtype=np.int32),
        "computed": x + y,
        "repeated": jnp.broadcast_to(x, (2, 3)),
    }


def test_results_are_those_of_the_function():
    inputs = np.float32([1, 2, 3]), np.float32([4, 5, 6])
    expected = {name: np.asarray(value) for name, value in function(*inputs).items()}
    found = results(jax.make_jaxpr(function)(*inputs), inputs, range(len(expected)))
    for name, own in zip(sorted(expected), found, strict=True):
        assert own.dtype == expected[name].dtype, name
        np.testing.assert_array_equal(own, expected[name], err_msg=name, strict=True)


def test_only_what_needs_it_is_compiled(compilations):
    inputs = np.float32([1, 2, 3]), np.float32([4, 5, 6])
    program = jax.make_jaxpr(function)(*inputs)
    places = {name: place for place, name in enumerate(sorted(function(*inputs)))}
    compilations.clear()
    known = [places[name] for name in places.keys() - {"computed", "repeated"}]
    results(program, inputs, known)
    assert not compilations
    results(program, inputs, places.values())
    assert len(compilations) == 1


def test_a_copy_is_another_array():
    inputs = np.float32([1, 2, 3]), np.float32([4, 5, 6])
    (copy,) = results(jax.make_jaxpr(lambda x, y: jnp.copy(x))(*inputs), inputs, [0])
    assert not np.shares_memory(copy, inputs[0])
