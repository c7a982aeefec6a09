"""Instances that may overlap, as runs of pixels, from any of their usual forms."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class RunLengths(NamedTuple):
    """The instances of one image, each on its own, so that they may overlap.

    A run is an interval of pixels in column-major order, in which pixel (row, col) of an image of
    height H has the number `col * H + row`: the order of COCO and of Kaggle. A run may go over
    from the foot of a column to the head of the next.

    Attributes:
      shape: (H, W) of the image.
      ids: (N,) ids of the instances, ascending.
      instances: (R,) int64, position in `ids` of the instance of each run, ascending.
      starts: (R,) int64, first pixel of each run, ascending within an instance.
      stops: (R,) int64, the pixel after its last; runs of one instance do not touch.
    """

    shape: tuple[int, int]
    ids: np.ndarray
    instances: np.ndarray
    starts: np.ndarray
    stops: np.ndarray


# One instance of a sequence: a bool mask (H, W), a patch (row, col, mask), COCO's or Kaggle's form.
Instance = np.ndarray | tuple[int, int, np.ndarray] | Mapping[str, Any] | str
Instances = np.ndarray | RunLengths | Sequence[Instance]


def run_lengths(instances: Instances, shape: tuple[int, int] | None = None) -> RunLengths:
    """Run lengths of instances in any of the usual forms.

    Args:
      instances: one of
        - an (H, W) integer or bool label map, 0 is background, which keeps its ids;
        - an (N, H, W) bool stack of masks;
        - a sequence, whose instances get the ids 1 to N in the order given, each of them an (H, W)
          bool mask, a patch `(row, col, mask)` (the upper left corner and the cropped bool mask),
          COCO's `{"size": [H, W], "counts": ...}` with a list or a compressed string of counts,
          or Kaggle's string "start length start length ..." (column-major, from 1);
        - run lengths, which are returned as they are.
      shape: (H, W) of the image. Kaggle's strings need it; without it, patches take the smallest
        image that holds them, starting from (0, 0).

    Returns:
      The run lengths.

    Raises:
      ValueError: an instance has no pixel (it could neither match nor be drawn), leaves the image,
        or is not readable; sizes differ; a label map holds negative or non-integer ids.

    Example:
      >>> runs = run_lengths([(0, 1, np.array([[True], [True]])), "1 3"], shape=(2, 3))
      >>> runs.ids, runs.instances, runs.starts, runs.stops
      (array([1, 2]), array([0, 1]), array([2, 0]), array([4, 3]))
    """
    known = image_shape(instances)
    if shape is not None and known is not None and tuple(shape) != known:
        raise ValueError(f"shape {tuple(shape)} was asked for, but the instances have {known}")
    if isinstance(instances, RunLengths):
        return instances
    if isinstance(instances, np.ndarray) and instances.ndim == 2:
        return _of_labels(instances)
    if isinstance(instances, np.ndarray) and instances.dtype != bool:
        raise ValueError(
            f"a stack of masks (N, H, W) must be bool, got {instances.dtype}; compare it with a "
            "threshold first"
        )
    shape = known or shape or _extent(instances)
    height, width = int(shape[0]), int(shape[1])

    patches: list[tuple[int, int, int, np.ndarray]] = []
    parts: list[tuple[int, np.ndarray, np.ndarray]] = []
    for n, instance in enumerate(instances):
        if isinstance(instance, str | Mapping):
            try:
                runs = (
                    decode_kaggle(instance)
                    if isinstance(instance, str)
                    else decode_coco(instance["counts"], height * width)
                )
            except ValueError as error:
                raise ValueError(f"instances[{n}]: {error}") from error
            parts.append((n, *runs))
        elif isinstance(instance, tuple):
            row, col, mask = instance
            patches.append((n, int(row), int(col), _checked_mask(mask, n)))
        else:
            patches.append((n, *_cropped(_checked_mask(instance, n))))
    of_patches = _of_patches(patches, (height, width))
    owners = [np.full(len(starts), n, np.int64) for n, starts, _ in parts]
    return _assembled(
        (height, width),
        np.arange(1, len(instances) + 1),
        np.concatenate([*owners, of_patches[0]]),
        np.concatenate([*(starts for _, starts, _ in parts), of_patches[1]]),
        np.concatenate([*(stops for *_, stops in parts), of_patches[2]]),
    )


def to_coco(runs: RunLengths) -> list[dict[str, Any]]:
    """COCO's compressed run lengths of each instance: `{"size": [H, W], "counts": ...}`.

    Example:
      >>> to_coco(run_lengths(np.array([[1, 1, 0]])))
      [{'size': [1, 3], 'counts': '021'}]
    """
    cuts = np.searchsorted(runs.instances, np.arange(1, len(runs.ids)))
    height, width = runs.shape
    found = []
    for starts, stops in zip(np.split(runs.starts, cuts), np.split(runs.stops, cuts), strict=True):
        bounds = np.stack([starts, stops], axis=1).ravel()
        counts = np.diff(bounds, prepend=0, append=height * width)
        if counts[-1] == 0:
            counts = counts[:-1]
        found.append({"size": [height, width], "counts": _compressed(counts)})
    return found if len(runs.ids) else []


def decode_kaggle(text: str) -> tuple[np.ndarray, np.ndarray]:
    """The runs of a string "start length start length ..." of pixels down the columns, from 1.

    Returns:
      starts, stops: (R,) int64 each, the half-open runs in column-major order, from 0.

    Raises:
      ValueError: no pairs of whole numbers, or one is below 1.
    """
    try:
        numbers = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        numbers = np.zeros(1, np.int64)
    if numbers.size % 2 or (numbers < 1).any():
        raise ValueError(
            f"run lengths must be pairs of a start and a length, both from 1, got {text[:40]!r}"
        )
    return numbers[::2] - 1, numbers[::2] - 1 + numbers[1::2]


def image_shape(instances: Instances) -> tuple[int, int] | None:
    """(H, W) of the image the instances lie in, or None where they do not say.

    Raises:
      ValueError: masks of one image differ in size, or an instance has none of the known forms.
    """
    if isinstance(instances, RunLengths):
        return instances.shape
    if isinstance(instances, np.ndarray):
        if instances.ndim not in (2, 3):
            raise ValueError(
                f"instances must be a label map (H, W) or masks (N, H, W), got {instances.shape}"
            )
        return instances.shape[-2], instances.shape[-1]
    found: tuple[int, int] | None = None
    for n, instance in enumerate(instances):
        if isinstance(instance, Mapping):
            height, width = (int(size) for size in instance["size"])
        elif isinstance(instance, np.ndarray) and instance.ndim == 2:
            height, width = instance.shape
        elif isinstance(instance, str) or (isinstance(instance, tuple) and len(instance) == 3):
            continue
        else:
            raise ValueError(
                f"instances[{n}] is a {type(instance).__name__}; give a bool mask (H, W), a patch "
                "(row, col, mask), COCO's dictionary or Kaggle's string"
            )
        found = found or (height, width)
        if found != (height, width):
            raise ValueError(f"instances[{n}] has size {(height, width)}, an earlier one {found}")
    return found


def _extent(instances: Sequence[Instance] | np.ndarray) -> tuple[int, int]:
    ends = [(0, 0)]
    for instance in instances:
        if not isinstance(instance, tuple):
            raise ValueError("Kaggle's run lengths do not say the image's size: give shape=(H, W)")
        row, col, mask = instance
        height, width = np.shape(mask)
        ends.append((int(row) + height, int(col) + width))
    return max(end[0] for end in ends), max(end[1] for end in ends)


def _checked_mask(mask: np.ndarray, n: int) -> np.ndarray:
    mask = np.asarray(mask)
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(
            f"the mask of instances[{n}] must be 2-D bool, is {mask.shape} {mask.dtype}"
        )
    return mask


def _cropped(mask: np.ndarray) -> tuple[int, int, np.ndarray]:
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return 0, 0, mask[:0, :0]
    band = mask[rows[0] : rows[-1] + 1]
    cols = np.flatnonzero(band.any(axis=0))
    return int(rows[0]), int(cols[0]), band[:, cols[0] : cols[-1] + 1]


def _of_labels(labels: np.ndarray) -> RunLengths:
    if labels.dtype != bool and not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"a label map must hold integer ids, got {labels.dtype}")
    flat = labels.T.ravel()
    if flat.dtype == bool:
        flat = flat.view(np.uint8)
    bounds = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.append(np.zeros(min(flat.size, 1), np.int64), bounds)
    stops = np.append(bounds, flat.size)[: len(starts)]
    values = flat[starts]
    if values.size and values.min() < 0:
        raise ValueError(f"a label map holds the negative id {values.min()}; set it to 0")
    foreground = values > 0
    ids, instances = np.unique(values[foreground], return_inverse=True)
    order = np.argsort(instances, kind="stable")
    starts, stops = starts[foreground][order], stops[foreground][order]
    return RunLengths((labels.shape[0], labels.shape[1]), ids, instances[order], starts, stops)


def _of_patches(
    patches: list[tuple[int, int, int, np.ndarray]], shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All patches at once: numbers the pixels of each within the image, then joins neighbors."""
    if not patches:
        return (np.zeros(0, np.int64),) * 3
    heights = np.array([mask.shape[0] for *_, mask in patches])
    widths = np.array([mask.shape[1] for *_, mask in patches])
    numbers, rows, cols = (np.array([patch[i] for patch in patches]) for i in range(3))
    outside = (rows < 0) | (cols < 0) | (rows + heights > shape[0]) | (cols + widths > shape[1])
    if outside.any():
        i = int(np.argmax(outside))
        raise ValueError(
            f"instances[{numbers[i]}] has its corner at ({rows[i]}, {cols[i]}) and a mask of "
            f"({heights[i]}, {widths[i]}): it leaves the image of {shape}; cut it off there"
        )
    # Down the columns of each patch, one patch after the other.
    inside = np.flatnonzero(np.concatenate([mask.T.ravel() for *_, mask in patches]))
    ends = np.cumsum(heights * widths)
    owner = np.searchsorted(ends, inside, side="right")
    within = inside - (ends - heights * widths)[owner]
    col, row = np.divmod(within, heights[owner])
    pixels = (cols[owner] + col) * shape[0] + rows[owner] + row
    new = np.flatnonzero((np.diff(pixels, prepend=-2) != 1) | (np.diff(owner, prepend=-1) != 0))
    last = np.append(new[1:], len(pixels)) - 1 if new.size else new
    return numbers[owner[new]], pixels[new], pixels[last] + 1


def _assembled(
    shape: tuple[int, int],
    ids: np.ndarray,
    instances: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
) -> RunLengths:
    """Sorts the runs, joins those of an instance that touch, and checks what remains."""
    order = np.lexsort((starts, instances))
    instances, starts, stops = instances[order], starts[order], stops[order]
    empty = np.bincount(instances, minlength=len(ids)) == 0
    if empty.any():
        raise ValueError(
            f"instances[{np.argmax(empty)}] has no pixel; leave it out, and its score and class"
        )
    same = instances[1:] == instances[:-1]
    if (same & (starts[1:] < stops[:-1])).any():
        n = instances[1:][np.argmax(same & (starts[1:] < stops[:-1]))]
        raise ValueError(f"the run lengths of instances[{n}] overlap each other")
    if stops.size and stops.max() > shape[0] * shape[1]:
        n = instances[np.argmax(stops)]
        raise ValueError(f"instances[{n}] leaves the image of {shape}: is the shape (H, W) right?")
    apart = np.append(True, ~same | (starts[1:] > stops[:-1]))[: len(starts)]
    ends = np.append(apart[1:], True)[: len(starts)]
    return RunLengths(shape, ids, instances[apart], starts[apart], stops[ends])


def decode_coco(counts: str | bytes | Sequence[int], size: int) -> tuple[np.ndarray, np.ndarray]:
    """The runs of COCO's counts, a list or a compressed string, of an image of `size` pixels.

    Returns:
      starts, stops: (R,) int64 each, the half-open runs in column-major order, from 0.

    Raises:
      ValueError: they are damaged, or of an image of another size.
    """
    lengths = np.asarray(
        _decompressed(counts) if isinstance(counts, str | bytes) else counts, np.int64
    )
    if lengths.sum() != size or (lengths < 0).any():
        raise ValueError(
            f"the counts of a mask must be lengths that add up to its {size} pixels, these add up "
            f"to {lengths.sum()}"
        )
    bounds = np.cumsum(lengths)
    stops = bounds[1::2]
    starts = bounds[::2][: len(stops)]
    return starts[stops > starts], stops[stops > starts]


def _compressed(counts: np.ndarray) -> str:
    """Each count less the last but one, in groups of 5 bits, the lowest first.

    Bit 5 of a character says that another follows; the characters start at "0".
    """
    values = counts.copy()
    values[3:] -= counts[1:-2]
    characters = bytearray()
    for value in values.tolist():
        follows = True
        while follows:
            group, value = value & 31, value >> 5
            follows = value != (-1 if group & 16 else 0)  # bit 4 of the last group is the sign
            characters.append(48 + group + 32 * follows)
    return characters.decode("ascii")


def _decompressed(text: str | bytes) -> list[int]:
    counts: list[int] = []
    value = shift = 0
    for character in text.encode("ascii") if isinstance(text, str) else text:
        group = character - 48
        if not 0 <= group < 64 or shift > 55:
            raise ValueError(f"not a compressed string of counts: {text[:40]!r}")
        value |= (group & 31) << shift
        shift += 5
        if not group & 32:
            sign = 1 << shift if group & 16 else 0
            counts.append(value - sign + (counts[-2] if len(counts) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError(f"not a compressed string of counts: {text[:40]!r}")
    return counts
