"""CVC-ColonDB: 380 (first release: 300) frames of 15 colonoscopy videos with masks of polyps.

Bernal et al., "Towards automatic polyp detection with a polyp appearance model", Pattern
Recognition 45, 2012. Published for research at http://mv.cvc.uab.es/projects/colon-qa/cvccolondb.
"""

from jaxnuc.data.sources._semantic import PAIRED, Layout, SemanticSource


class Source(SemanticSource):
    """CVC-ColonDB: `images` and `masks`, or as first released, `1.bmp` with its mask `p1.bmp`.

    That release also has masks of what carries no information, `s1.bmp`, and contours, `c1.bmp`;
    they are not read. Frames of one video are much alike, and the seeded split is by frame.

    Arguments and errors: `jaxnuc.data.sources._semantic.SemanticSource`.
    """

    name = "cvc_colondb"
    layouts = (PAIRED, Layout((), (), "p"))
    published = "http://mv.cvc.uab.es/projects/colon-qa/cvccolondb"
