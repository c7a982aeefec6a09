"""The nuclei as QuPath's annotations, to be corrected there."""

from jaxnuc.outputs.formats import geojson


class Format(geojson.Format):
    """The same as the format geojson, but of annotations, which QuPath's tools reshape.

    A whole slide of them is slow in QuPath; for looking at nuclei, detections are better.
    """

    suffix = ".annotations.geojson"
    kind = "annotation"
