"""Images of any size, read region by region: `open_image`, `at_mpp`, `list_images`."""

from jaxnuc.images.arrays import ArrayImage
from jaxnuc.images.large_image import Box, CorruptRegion, LargeImage, Level
from jaxnuc.images.listing import image_name, list_images
from jaxnuc.images.mending import MendedImage
from jaxnuc.images.opening import open_image
from jaxnuc.images.resolution import ResampledImage, at_mpp
from jaxnuc.images.thumbnails import thumbnail

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
