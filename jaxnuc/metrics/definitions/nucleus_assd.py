"""ASSD of matched nuclei."""

from jaxnuc.metrics.definitions._boundary import NucleusDistance


class Metric(NucleusDistance):
    """The mean distance over both outlines, averaged over the nuclei."""

    title = "Boundary distance (ASSD), outlines of matched nuclei"
    figure = "average"
