"""Kvasir-SEG: 1,000 endoscopic images of polyps with masks.

Jha et al., "Kvasir-SEG: a segmented polyp dataset", MMM 2020. Published for research and education
at https://datasets.simula.no/kvasir-seg.
"""

from jaxnuc.data.sources.masks import SplitMaskSource


class Source(SplitMaskSource):
    """Kvasir-SEG as distributed: `images/*.jpg`, `masks/*.jpg` (noisy, with three channels)."""

    name = "kvasir"
    expected = (
        "expected `images` and `masks`, as published at https://datasets.simula.no/kvasir-seg"
    )
