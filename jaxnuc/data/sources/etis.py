"""ETIS-Larib Polyp DB: 196 endoscopic images of polyps with masks, 1225x966.

Silva et al., "Toward embedded detection of polyps in WCE images for early diagnosis of colorectal
cancer", International Journal of Computer Assisted Radiology and Surgery 9, 2014. Published for
research at https://polyp.grand-challenge.org/ETISLarib/.
"""

from jaxnuc.data.sources._semantic import PAIRED, Layout, SemanticSource


class Source(SemanticSource):
    """ETIS-Larib: `ETIS-LaribPolypDB/1.tif` with `Ground Truth/p1.tif`, or `images`, `masks`.

    Arguments and errors: `jaxnuc.data.sources._semantic.SemanticSource`.
    """

    name = "etis"
    layouts = (Layout(("ETIS-LaribPolypDB",), ("Ground Truth",), "p"), PAIRED)
    published = "https://polyp.grand-challenge.org/ETISLarib/"
