"""The contingency table of instances that may overlap each other."""

import numpy as np
from scipy.sparse import coo_array

from jaxnuc.io.run_lengths import Instances, RunLengths, image_shape, run_lengths
from jaxnuc.metrics.contingency import ContingencyTable


def overlapping_table(
    truth: Instances, prediction: Instances, shape: tuple[int, int] | None = None
) -> ContingencyTable:
    """Counts the pixels that each true and each predicted instance share.

    Unlike in two label maps, a pixel may belong to several instances of one side. Of two label
    maps, the table is that of `contingency_table`. The cost grows with the runs of pixels and the
    pairs of them that meet, not with the instances times the image.

    Args:
      truth: a label map (H, W), masks (N, H, W), or a sequence of masks, patches or run lengths,
        as `run_lengths` takes them; ids are those of the label map, or 1 to N in the order given.
      prediction: the same, in the same or in another form.
      shape: (H, W) of the image. Needed where neither side says it and one is Kaggle's strings.

    Returns:
      The table. Intersections, areas and IoU are those of the whole instances; the foreground pixel
      counts are those of their unions. A prediction may have an IoU above 1/2 with several.

    Raises:
      ValueError: sizes differ, an instance is empty or leaves the image, or cannot be read.

    Example:
      >>> table = overlapping_table([(0, 0, np.ones((2, 2), bool)), (0, 1, np.ones((2, 2), bool))],
      ...                           [(0, 0, np.ones((2, 3), bool))])
      >>> table.intersections, table.truth_areas, table.truth_pixels
      (array([4, 4]), array([4, 4]), 6)
    """
    true, predicted = map(_by_start, _at_one_shape(truth, prediction, shape))
    areas = [
        np.bincount(side.instances, side.stops - side.starts, len(side.ids)).astype(np.int64)
        for side in (true, predicted)
    ]
    first, second, shared = _meetings(true.starts, true.stops, predicted.starts, predicted.stops)
    # Sums over the runs of each pair of instances.
    sums = coo_array(
        (shared, (true.instances[first], predicted.instances[second])),
        shape=(len(true.ids), len(predicted.ids)),
    ).tocsr()
    sums.sum_duplicates()
    pairs = sums.tocoo()

    unions = [_union(side) for side in (true, predicted)]
    return ContingencyTable(
        truth_ids=true.ids,
        truth_areas=areas[0],
        prediction_ids=predicted.ids,
        prediction_areas=areas[1],
        rows=pairs.coords[0].astype(np.int64),
        columns=pairs.coords[1].astype(np.int64),
        intersections=pairs.data,
        truth_pixels=int((unions[0][1] - unions[0][0]).sum()),
        prediction_pixels=int((unions[1][1] - unions[1][0]).sum()),
        shared_pixels=int(_meetings(*unions[0], *unions[1])[2].sum()),
    )


def _at_one_shape(
    truth: Instances, prediction: Instances, shape: tuple[int, int] | None
) -> tuple[RunLengths, RunLengths]:
    shapes = image_shape(truth), image_shape(prediction)
    if None not in shapes and shapes[0] != shapes[1]:
        raise ValueError(
            f"truth has shape {shapes[0]}, prediction {shapes[1]}; score both at the same "
            "resolution"
        )
    shape = shape or shapes[0] or shapes[1]
    if shape is None:  # both are patches: the smallest image that holds all of them
        extents = run_lengths(truth).shape, run_lengths(prediction).shape
        shape = max(extents[0][0], extents[1][0]), max(extents[0][1], extents[1][1])
    return run_lengths(truth, shape), run_lengths(prediction, shape)


def _by_start(runs: RunLengths) -> RunLengths:
    order = np.argsort(runs.starts, kind="stable")
    return runs._replace(
        instances=runs.instances[order], starts=runs.starts[order], stops=runs.stops[order]
    )


def _meetings(
    starts: np.ndarray, stops: np.ndarray, other_starts: np.ndarray, other_stops: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of a run and another side's run that share pixels, and how many they share.

    Of two runs that meet, exactly one starts within the other (counting an equal start for the
    second), and what starts within a run lies side by side once sorted by start. So two
    searches find all pairs, however much the runs of one side overlap each other.
    """
    second_within = _ranges(
        np.searchsorted(other_starts, starts), np.searchsorted(other_starts, stops)
    )
    first_within = _ranges(
        np.searchsorted(starts, other_starts, side="right"), np.searchsorted(starts, other_stops)
    )
    first = np.concatenate([second_within[0], first_within[1]])
    second = np.concatenate([second_within[1], first_within[0]])
    shared = np.minimum(stops[first], other_stops[second])
    return first, second, shared - np.maximum(starts[first], other_starts[second])


def _ranges(begins: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Index i and each number of [begins[i], ends[i]), for all i."""
    sizes = ends - begins
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return owner, np.arange(len(owner)) + (begins - np.cumsum(sizes) + sizes)[owner]


def _union(runs: RunLengths) -> tuple[np.ndarray, np.ndarray]:
    """Disjoint runs of all pixels that belong to any instance; the runs are sorted by start."""
    if not runs.starts.size:
        return runs.starts, runs.stops
    reach = np.maximum.accumulate(runs.stops)
    new = np.flatnonzero(np.append(True, runs.starts[1:] > reach[:-1]))
    return runs.starts[new], reach[np.append(new[1:], len(reach)) - 1]
