"""Files: images of any size read region by region, label images, formats of annotations.

`open_image`, `at_mpp` and `list_images` are for images that are segmented; `Files` reads the
folders and zips of data sets, whose formats have a module each (`aperio`, `mat`, `nifti`, ...): a
function of `data`, the content of a file, and `where`, its address, which errors name.
"""

from jaxnuc.io.array_image import ArrayImage
from jaxnuc.io.atomic import replace_file, replacing
from jaxnuc.io.files import File, Files
from jaxnuc.io.filled_image import FilledImage
from jaxnuc.io.label_images import label_pairs, read_label_image
from jaxnuc.io.large_image import Box, CorruptRegion, LargeImage, Level
from jaxnuc.io.listing import image_name, list_images
from jaxnuc.io.opening import open_image
from jaxnuc.io.planes import Planes
from jaxnuc.io.resample import ResampledImage, at_mpp, thumbnail

__all__ = [
    "ArrayImage",
    "Box",
    "CorruptRegion",
    "File",
    "Files",
    "FilledImage",
    "LargeImage",
    "Level",
    "Planes",
    "ResampledImage",
    "at_mpp",
    "image_name",
    "label_pairs",
    "list_images",
    "open_image",
    "read_label_image",
    "replace_file",
    "replacing",
    "thumbnail",
]
