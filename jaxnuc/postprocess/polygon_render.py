"""Star-convex polygons painted as a label map."""

import numpy as np

from jaxnuc.postprocess.polygon_nms import Suppression
from jaxnuc.postprocess.shape_refinement import refine_shapes


def render_polygons(
    points: np.ndarray, distances: np.ndarray, shape: tuple[int, int]
) -> np.ndarray:
    """Paints star-convex polygons, the first on top.

    A pixel belongs to a polygon if its center lies inside or on the outline. Polygons may reach
    beyond the image, also with their centers. Time is linear in the area of the bounding boxes.

    Args:
      points: (N, 2) centers (row, col) in pixels, in descending order of score.
      distances: (N, R) vertex distances in pixels; those below 1e-3 are set to it.
      shape: (H, W) of the image.

    Returns:
      (H, W) int32 label map, 0 is background, the id of a polygon is its position + 1. Ids of
      polygons that are covered by others, or hold no pixel center, do not occur.

    Raises:
      ValueError: shapes that do not agree, NaN or infinite values, fewer than 3 rays.

    Example:
      >>> render_polygons(np.array([[1, 1], [1, 3]]), np.full((2, 4), 1.0), (3, 5))
      array([[0, 1, 0, 2, 0],
             [1, 1, 1, 2, 2],
             [0, 1, 0, 2, 0]], dtype=int32)
    """
    alone = Suppression(np.arange(len(points)), np.full(len(points), -1))
    return refine_shapes(points, distances, np.zeros(len(points)), alone, shape)
