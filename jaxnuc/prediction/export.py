"""A trained network as a folder that runs without this library: StableHLO, made by `jax.export`.

The folder holds `model.jax_export`, the network with its parameters, and `model.json`, which
describes its input and output. `docs/export.md` shows how another program uses them.
"""

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import export as jax_export

import jaxnuc
from jaxnuc import config as configs
from jaxnuc import representations
from jaxnuc.data.normalize import Normalize
from jaxnuc.io.atomic import remove_leftovers, replacing
from jaxnuc.labels import LabelSet
from jaxnuc.prediction.decoding import Decoder
from jaxnuc.prediction.patches import STRIDE
from jaxnuc.prediction.predictor import Predictor, TrainedNetwork

MODEL, ABOUT = "model.jax_export", "model.json"
# What tracing raises where the sides would have to be known; JAX 0.6 has it elsewhere.
_ERRORS: Any = jax.errors if hasattr(jax.errors, "InconclusiveDimensionOperation") else jax.core
PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def export(
    predictor: Predictor,
    path: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    overwrite: bool = False,
) -> Path:
    """Writes a network as a folder that a program with JAX alone can run.

    The call in it takes images (b, 64 h + margin, 64 w + margin, 3) uint8, already normalized, for
    any b, h and w, and gives the maps as a dict, float32. It runs on CPU, CUDA, ROCm and TPU,
    wherever it was made. It contains neither test-time augmentation nor the decoding to nuclei.

    Args:
      predictor: from `load`, of one checkpoint.
      path: of the folder to write.
      size: (H, W) multiples of 64: the maps have this size only, images are larger by the margin.
        None: any size, which a few networks refuse.
      overwrite: replace an export that exists.

    Returns:
      The folder.

    Raises:
      FileExistsError: `path` exists, and is not an export to overwrite.
      ImportError: flatbuffers is missing.
      ValueError: the network works on a fixed size only, `size` is no multiple of 64, or there are
        several networks.
    """
    path = Path(path)
    if path.exists() and not (overwrite and (path / ABOUT).is_file()):
        way_out = "is no export; move it away" if overwrite else "exists; overwrite it, or move it"
        raise FileExistsError(f"{path} {way_out}, or give another name")
    if len(predictor.networks) > 1:
        raise ValueError(
            f"an export holds one network, and the predictor has {len(predictor.networks)}; export "
            "each checkpoint alone"
        )
    if importlib.util.find_spec("flatbuffers") is None:
        raise ImportError("an export needs flatbuffers: pip install jaxnuc[export]")
    exported = _traced(predictor, size)
    program = exported.serialize()
    about = _about(predictor, exported, size)
    about["sha256"] = hashlib.sha256(program).hexdigest()
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(path.parent)
    with replacing(path) as temporary:
        temporary.mkdir()
        (temporary / MODEL).write_bytes(program)
        (temporary / ABOUT).write_text(json.dumps(about, indent=1) + "\n")
    return path


def load_exported(path: str | os.PathLike[str]) -> Predictor:
    """A predictor of the exported network in a folder that `export` wrote.

    Raises:
      FileNotFoundError: there is no export.
      ValueError: it is damaged, or of a version that JAX does not read; when called, another size
        than the one it was exported for.
    """
    path = Path(path)
    if not (path / ABOUT).is_file():
        raise FileNotFoundError(f"{path} is no export: it has no {ABOUT}")
    try:
        about = json.loads((path / ABOUT).read_text())
    except ValueError as error:
        raise ValueError(f"{path / ABOUT} is damaged, export it again: {error}") from error
    program = bytearray((path / MODEL).read_bytes())
    found = hashlib.sha256(program).hexdigest()
    if found != about["sha256"]:
        raise ValueError(
            f"{path / MODEL} is damaged, export it again: its sha256 is {found}, but {ABOUT} has "
            f"{about['sha256']}"
        )
    try:
        exported = jax_export.deserialize(program)
    except ImportError:
        raise
    except Exception as error:
        raise ValueError(f"{path / MODEL} cannot be read, export it again: {error}") from error
    size, margin = about["size"], about["margin"]

    def forward(variables: Any, images: jax.Array) -> dict[str, jax.Array]:
        given = [side - margin for side in images.shape[1:3]]
        if size is not None and given != size:
            raise ValueError(
                f"{path} was exported for images of {size} px only, got {given} px; cut them into "
                "tiles of this size, or export it again for another one"
            )
        maps: dict[str, jax.Array] = exported.call(images)
        return maps

    config = configs.from_json(about["config"])
    network = TrainedNetwork(jax.jit(forward), {}, margin)  # the variables are in the program
    normalize = Normalize(about["normalize"])
    representation = representations.create(  # with thresholds that were set after the training
        classes=about["class_map"],
        label_sets=tuple(map(LabelSet.from_json, about["label_sets"])),
        **about["representation"],
    )
    return Predictor((network,), representation, normalize, config)


def _traced(predictor: Predictor, size: tuple[int, int] | None) -> jax_export.Exported:
    """The network on images of symbolic batch, and of symbolic size where none is given."""
    batch, h, w = jax_export.symbolic_shape("b, h, w")
    if size is None:
        sides = STRIDE * h, STRIDE * w
    else:
        sides = size
        if min(size) < 1 or any(side % STRIDE for side in size):
            raise ValueError(f"size={size} must be two multiples of {STRIDE}, such as (256, 256)")
    shape = batch, *(side + predictor.margin for side in sides), 3
    (network,) = predictor.networks
    call = jax.jit(lambda images: network.forward(network.variables, images))
    try:
        return jax_export.export(call, platforms=PLATFORMS)(jax.ShapeDtypeStruct(shape, jnp.uint8))
    except _ERRORS.InconclusiveDimensionOperation as error:
        raise ValueError(
            f"the network {predictor.config.model.name!r} depends on the size of its images "
            f"({str(error).splitlines()[0]}) and can be exported for one size only: give "
            "size=(H, W), such as (256, 256), or --size=256,256"
        ) from error


def _about(
    predictor: Predictor, exported: jax_export.Exported, size: tuple[int, int] | None
) -> dict[str, Any]:
    """The contents of `model.json`."""
    representation = predictor.representation
    sections = representation.sections()

    def describe(name: str, array: jax.core.ShapedArray) -> dict[str, Any]:
        of_map = representation.output_maps[name]
        return {**_array(array), "activation": of_map.activation, "meaning": of_map.meaning}

    (image,) = exported.in_avals
    maps = jax.tree.unflatten(exported.out_tree, exported.out_avals)
    config = predictor.config
    return {
        "made_by": f"jaxnuc {jaxnuc.__version__}, jax {jax.__version__}",
        "calling_convention_version": exported.calling_convention_version,
        "platforms": list(exported.platforms),
        "image": {**_array(image), "meaning": "red, green, blue, normalized"},
        "maps": {name: describe(name, array) for name, array in maps.items()},
        "normalize": predictor.normalize.name,
        "mpp": config.data.mpp or None,
        "size": size and list(size),
        "stride": STRIDE,
        "margin": predictor.margin,
        "grid": predictor.decode.grid,
        "classes": Decoder(representation).class_names,  # of the map
        "representation": sections["representation"],
        "class_map": sections["classes"],
        "label_sets": [label_set.to_json() for label_set in representation.label_sets],
        "config": configs.to_json(config),
    }


def _array(array: jax.core.ShapedArray) -> dict[str, Any]:
    shape = [side if isinstance(side, int) else str(side) for side in array.shape]
    return {"shape": shape, "dtype": str(array.dtype)}
