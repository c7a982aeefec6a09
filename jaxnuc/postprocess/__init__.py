"""From binary maps to instances, on label maps in NumPy."""

from jaxnuc.postprocess.components import label_components, remove_small
from jaxnuc.postprocess.contour_growth import grow_from_contours

__all__ = ["grow_from_contours", "label_components", "remove_small"]
