"""Hausdorff distance of matched nuclei."""

from jaxnuc.metrics.definitions._boundary import NucleusDistance


class Metric(NucleusDistance):
    """The greatest distance of either outline to the other, averaged over the nuclei."""

    title = "Hausdorff distance, outlines of matched nuclei"
    figure = "hausdorff"
