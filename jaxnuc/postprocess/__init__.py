"""From the maps of a network to instances, on arrays in NumPy.

The functions take and return arrays of one image; none scans it once per instance.

* from a mask: `label_components`, `label_probability` (U-Net, Micro-Net), `split_at_necks`
* from mask and contour: `grow_from_contours` (HARU-Net), `watershed_from_contours`,
  `label_inside_contours` (DCAN), `separate_overlaps` (CNSeg)
* from distances: `hover_watershed` (HoVer-Net), `dynamic_watershed` (DIST), `separate_by_distance`
* from star-convex polygons: `detect_polygons`, `render_polygons`, `refine_shapes` (StarDist)
* on label maps: `regions`, `class_votes`, `relabel`, `remove_small`, `fill_holes`,
  `dilate_instances`
"""

from jaxnuc.postprocess.components import label_components, remove_small
from jaxnuc.postprocess.contour_growth import grow_from_contours
from jaxnuc.postprocess.contour_watershed import watershed_from_contours
from jaxnuc.postprocess.distance import dynamic_watershed
from jaxnuc.postprocess.hover import hover_watershed
from jaxnuc.postprocess.necks import split_at_necks
from jaxnuc.postprocess.object_contour import (
    dilate_instances,
    label_inside_contours,
    label_probability,
)
from jaxnuc.postprocess.overlap_separation import separate_by_distance, separate_overlaps
from jaxnuc.postprocess.polygon_nms import detect_polygons, non_maximum_suppression
from jaxnuc.postprocess.regions import class_votes, fill_holes, regions, relabel
from jaxnuc.postprocess.shape_refinement import refine_shapes, render_polygons

__all__ = [
    "class_votes",
    "detect_polygons",
    "dilate_instances",
    "dynamic_watershed",
    "fill_holes",
    "grow_from_contours",
    "hover_watershed",
    "label_components",
    "label_inside_contours",
    "label_probability",
    "non_maximum_suppression",
    "refine_shapes",
    "regions",
    "relabel",
    "remove_small",
    "render_polygons",
    "separate_by_distance",
    "separate_overlaps",
    "split_at_necks",
    "watershed_from_contours",
]
