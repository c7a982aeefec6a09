"""Devices and processes: the only place that names pmap."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Batch = dict[str, Any]
Step = Callable[[Any, Batch, jax.Array], tuple[Any, dict[str, jax.Array]]]

AXIS = "batch"


def initialize(distributed: Mapping[str, Any]) -> None:
    """Joins the processes of a training, where there are several.

    Args:
      distributed: `processes` (1: nothing to do; 0: found out by JAX, as on TPU pods and Slurm),
        `index` of this one, and the `coordinator`'s "host:port".

    Raises:
      ValueError: several processes without a coordinator, or an index outside of their number.
    """
    processes, index = distributed["processes"], distributed["index"]
    if processes == 1 or jax.distributed.is_initialized():
        return
    if processes == 0:
        jax.distributed.initialize()
        return
    if not distributed["coordinator"]:
        raise ValueError(
            f"distributed.processes={processes} needs distributed.coordinator='host:port'"
        )
    if not 0 <= index < processes:
        raise ValueError(f"distributed.index={index} is not one of {processes} processes")
    jax.distributed.initialize(distributed["coordinator"], processes, index)


def check_batch_size(batch_size: int, name: str = "batch size") -> None:
    """Refuses a batch that does not divide over all devices; `name` is its name in the error.

    Raises:
      ValueError: with both numbers and the nearest sizes that work.
    """
    devices = jax.device_count()
    if batch_size < 1 or batch_size % devices:
        lower = batch_size // devices * devices
        fits = f"{lower} or {lower + devices}" if lower > 0 else f"{devices}"
        raise ValueError(f"{name} {batch_size} does not divide over {devices} devices; take {fits}")


def replicate(state: Any) -> Any:
    """Puts a state on every device of this process, in its natural shapes.

    A step returns its state so; one that comes from elsewhere must be put there before it is
    donated, or pmap copies it and, with several processes, deletes what it still needs.
    """
    return jax.device_put(state, _on_local_devices(PartitionSpec()))


def _on_local_devices(spec: PartitionSpec) -> NamedSharding:
    return NamedSharding(Mesh(np.array(jax.local_devices()), (AXIS,)), spec)


def image_numbers(count: int, axis_name: str | None) -> jax.Array:
    """Where the images that a device sees are in the whole batch, (count,) int32, within a step.

    The processes get images in turn, see `jaxnuc.data.pipeline.batches`, and the devices of each
    its images in equal parts; devices are numbered process by process.
    """
    if axis_name is None:
        return jnp.arange(count)
    process, device = jnp.divmod(lax.axis_index(axis_name), jax.local_device_count())
    return (device * count + jnp.arange(count)) * jax.process_count() + process


def compile_step(step: Step) -> Step:
    """The step on all devices of all processes, `step` being made with `axis_name=AXIS`.

    The state and the key are from `replicate`; the state keeps its natural shapes and is donated.
    The batch is the part of this process, `(B / processes, ...)`. The call returns before the
    devices have finished, and the next batch travels to them while they compute.
    """
    mapped = jax.pmap(
        step, axis_name=AXIS, in_axes=(None, 0, None), out_axes=(None, None), donate_argnums=0
    )
    devices, sharding = jax.local_device_count(), _on_local_devices(PartitionSpec(AXIS))

    def split(x: np.ndarray) -> np.ndarray:
        return x.reshape(devices, len(x) // devices, *x.shape[1:])

    def run(state: Any, batch: Batch, rng: jax.Array) -> Any:
        return mapped(state, jax.device_put(jax.tree.map(split, batch), sharding), rng)

    return run


def compile_forward(forward: Callable[[Any, Any], Any], variables: Any) -> Callable[[Any], Any]:
    """A network's evaluation, `images -> maps`, on all D devices of this process.

    Images are (B, ...) and maps (D, B / D, ...), B a multiple of D; the call returns before the
    devices have finished. The variables are put on every device once.
    """
    mapped = _over_devices(forward)
    variables = replicate(variables)
    devices = jax.local_device_count()

    def run(images: np.ndarray) -> Any:
        return mapped(variables, images.reshape(devices, -1, *images.shape[1:]))

    return run


@lru_cache(maxsize=16)
def _over_devices(forward: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """One function for a network, so that it is compiled once however often it is asked for."""
    return jax.pmap(forward, in_axes=(None, 0))
