"""CVC-ColonDB: 380 (first release: 300) frames of 15 colonoscopy videos with masks of polyps.

Bernal et al., "Towards automatic polyp detection with a polyp appearance model", Pattern
Recognition 45, 2012. Published for research at http://mv.cvc.uab.es/projects/colon-qa/cvccolondb.
"""

from jaxnuc.data.layouts import IMAGE
from jaxnuc.data.sources.masks import PAIRED, SplitMaskSource


class Source(SplitMaskSource):
    """CVC-ColonDB: `images` and `masks`, or as first released, `1.bmp` with its mask `p1.bmp`.

    That release also has masks of what carries no information, `s1.bmp`, and contours, `c1.bmp`;
    they are not read. Frames of one video are much alike, and the seeded split is by frame.
    """

    name = "cvc_colondb"
    layouts = (PAIRED, {"image": rf"(\d+){IMAGE}", "label": rf"p(\d+){IMAGE}"})
    expected = (
        "expected `images` and `masks`, or `1.bmp` beside `p1.bmp`, as published at "
        "http://mv.cvc.uab.es/projects/colon-qa/cvccolondb"
    )
