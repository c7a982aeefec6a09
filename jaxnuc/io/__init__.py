"""Images of any size, read region by region: `open_image`, `at_mpp`, `list_images`."""

from jaxnuc.io.array_image import ArrayImage
from jaxnuc.io.corrupt_regions import MendedImage
from jaxnuc.io.large_image import Box, CorruptRegion, LargeImage, Level
from jaxnuc.io.listing import image_name, list_images
from jaxnuc.io.opening import open_image
from jaxnuc.io.resample import ResampledImage, at_mpp
from jaxnuc.io.thumbnails import thumbnail

__all__ = [
    "ArrayImage",
    "Box",
    "CorruptRegion",
    "LargeImage",
    "Level",
    "MendedImage",
    "ResampledImage",
    "at_mpp",
    "image_name",
    "list_images",
    "open_image",
    "thumbnail",
]
