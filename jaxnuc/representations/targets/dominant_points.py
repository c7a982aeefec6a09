"""The contour of a mask, and the polygon through its corners."""

import numpy as np
from jaxtyping import Bool, Int

# (row, col) steps along a contour by their codes: 0 to the right, then counterclockwise.
_STEPS = np.array([(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)])


def outer_contour(mask: Bool[np.ndarray, "h w"]) -> Int[np.ndarray, "n 2"]:
    """The (row, col) of the pixels along the outer border of a mask, counterclockwise.

    It begins at the first pixel in raster order. A pixel comes again where the contour passes it
    again, as on a line of one pixel; of several 8-connected parts the first one is followed.

    References:
      Suzuki & Abe, Topological structural analysis of digitized binary images by border following,
      CVGIP 30, 1985.
    """
    framed = np.pad(mask, 1)
    width = framed.shape[1]
    pixels, steps = framed.tobytes(), (_STEPS @ (width, 1)).tolist()
    start = pixels.index(1)
    # Clockwise from the left neighbor, which is empty: the last pixel before the start.
    before = next((code for code in (3, 2, 1, 0, 7, 6, 5) if pixels[start + steps[code]]), None)
    found = [start]
    if before is not None:
        last, here, code = start + steps[before], start, before
        while True:
            code = next(c & 7 for c in range(code + 1, code + 9) if pixels[here + steps[c & 7]])
            at_end, here = here == last, here + steps[code]
            if at_end and here == start:
                break
            found.append(here)
            code ^= 4  # the next search begins behind the pixel that the contour comes from
    return np.stack(np.divmod(found, width), axis=1) - 1


def dominant_points(contour: Int[np.ndarray, "n 2"]) -> Int[np.ndarray, "m 2"]:
    """The points of a closed contour in steps of 8 neighbors that make a polygon of about its form.

    The curvature of a point is the change of direction there, in eighths of a turn; its support the
    number of points on each side with which it makes a triangle that grows and flattens. A point is
    dominant if none within half of its support has more curvature, and if those beside it have less
    where that is all its support. Of neighbors that are all dominant the outer two stay, of two the
    one of more curvature.

    References:
      Teh & Chin, On the detection of dominant points on digital curves, IEEE PAMI 11, 1989.
    """
    n = len(contour)
    if n == 1:
        return contour
    steps = np.roll(contour, -1, axis=0) - contour
    codes = (steps[:, None] == _STEPS).all(axis=-1).argmax(axis=1)
    turns = np.abs(codes - np.roll(codes, 1))
    curvatures, support = np.minimum(turns, 8 - turns).tolist(), _support(contour)
    for i, reach in enumerate((support // 2).tolist()):
        around = (curvatures[(i + k) % n] for k in range(-reach, reach + 1))
        if any(other > curvatures[i] for other in around):
            curvatures[i] = 0
    for i in np.flatnonzero(support == 1).tolist():
        if curvatures[i] <= max(curvatures[i - 1], curvatures[(i + 1) % n]):
            curvatures[i] = 0
    curvature = np.array(curvatures)
    kept = curvature > 0
    if kept.all():
        return contour
    gap = int(kept.argmin())  # where no run of dominant points goes over the end
    order = (np.arange(n) + gap) % n
    ends = np.flatnonzero(np.diff(kept[order], append=False))
    for first, last in zip(order[(ends[::2] + 1)], order[ends[1::2]], strict=True):
        length = (last - first) % n + 1
        if length > 2:
            kept[(first + np.arange(1, length - 1)) % n] = False
        elif length == 2:
            stronger = (-curvature[first], support[first]) <= (-curvature[last], support[last])
            kept[last if stronger else first] = False
    return contour[kept]


def _support(contour: np.ndarray) -> np.ndarray:
    """(n,) the number of points on each side that support each point of a contour.

    It is the last k before the chord between the points k before and k after grows no more, or the
    triangle over it gets no flatter: the distance from the chord in parts of its length.
    """
    n = len(contour)
    reach = np.arange(1, (n + 1) // 2 + 2)
    here = np.arange(n)[:, None]
    before, after = contour[(here - reach) % n], contour[(here + reach) % n]
    down, right = np.moveaxis(contour[:, None] - before, -1, 0)
    rows, cols = np.moveaxis(after - before, -1, 0)
    chords, heights = rows**2 + cols**2, right * rows - down * cols  # squared; times the chord
    shorter = chords[:, 1:] <= chords[:, :-1]
    risen = np.sign(heights[:, :-1]) * (
        heights[:, 1:] * chords[:, :-1] - heights[:, :-1] * chords[:, 1:]
    )
    return 1 + np.argmax(shorter | (heights[:, :-1] != 0) & (risen >= 0), axis=1)
