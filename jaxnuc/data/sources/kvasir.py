"""Kvasir-SEG: 1,000 endoscopic images of polyps with masks.

Jha et al., "Kvasir-SEG: a segmented polyp dataset", MMM 2020. Published for research and education
at https://datasets.simula.no/kvasir-seg.
"""

from jaxnuc.data.sources._semantic import SemanticSource


class Source(SemanticSource):
    """Kvasir-SEG as distributed: `images/*.jpg`, `masks/*.jpg` (noisy, with three channels).

    Arguments and errors: `jaxnuc.data.sources._semantic.SemanticSource`.
    """

    name = "kvasir"
    published = "https://datasets.simula.no/kvasir-seg"
