"""ETIS-Larib Polyp DB: 196 endoscopic images of polyps with masks, 1225x966.

Silva et al., "Toward embedded detection of polyps in WCE images for early diagnosis of colorectal
cancer", International Journal of Computer Assisted Radiology and Surgery 9, 2014. Published for
research at https://polyp.grand-challenge.org/ETISLarib/.
"""

from jaxnuc.data.layouts import IMAGE
from jaxnuc.data.sources.masks import PAIRED, SplitMaskSource


class Source(SplitMaskSource):
    """ETIS-Larib: `ETIS-LaribPolypDB/1.tif` with `Ground Truth/p1.tif`, or `images`, `masks`."""

    name = "etis"
    layouts = (
        {"image": rf"etis-laribpolypdb/([^/]+){IMAGE}", "label": rf"ground truth/p([^/]+){IMAGE}"},
        PAIRED,
    )
    expected = (
        "expected `ETIS-LaribPolypDB` and `Ground Truth`, or `images` and `masks`, as published "
        "at https://polyp.grand-challenge.org/ETISLarib/"
    )
