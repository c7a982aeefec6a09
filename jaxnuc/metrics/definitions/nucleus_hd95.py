"""HD95 of matched nuclei."""

from jaxnuc.metrics.definitions._boundary import NucleusDistance


class Metric(NucleusDistance):
    """The larger of both directed 95th percentiles, averaged over the nuclei."""

    title = "HD95, outlines of matched nuclei"
    figure, arguments = "hausdorff", (95,)
