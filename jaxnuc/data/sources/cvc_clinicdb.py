"""CVC-ClinicDB (CVC-612): 612 frames of colonoscopy videos with masks of polyps.

Bernal et al., "WM-DOVA maps for accurate polyp highlighting in colonoscopy", Computerized Medical
Imaging and Graphics 43, 2015. Published for research at
https://polyp.grand-challenge.org/CVCClinicDB/.
"""

from jaxnuc.data.layouts import IMAGE
from jaxnuc.data.sources.masks import PAIRED, SplitMaskSource


class Source(SplitMaskSource):
    """CVC-ClinicDB: `Original/*.tif`, `Ground Truth/*.tif`, or `images`, `masks`.

    Frames of one video are much alike. The seeded split is by frame, so its test figures are those
    of known videos; for unknown ones, test on another data set, as PraNet does.
    """

    name = "cvc_clinicdb"
    layouts = (
        {"image": rf"original/([^/]+){IMAGE}", "label": rf"ground truth/([^/]+){IMAGE}"},
        PAIRED,
    )
    expected = (
        "expected `Original` and `Ground Truth`, or `images` and `masks`, as published at "
        "https://polyp.grand-challenge.org/CVCClinicDB/"
    )
