"""The public data sets that `jaxnuc.data.sources` reads: what is in them, and whose they are.

>>> record = CATALOGUE["dsb2018"]
>>> record.licence, record.images
('CC0 1.0', 670)
"""

from collections.abc import Iterable
from typing import NamedTuple


class Record(NamedTuple):
    """A data set as its authors describe it.

    Attributes:
      key: name of the source that reads it.
      title: its name, and what it shows.
      images: number of annotated images; None where it is not stated.
      nuclei: number of nuclei; None where it is not stated, or nothing is told apart.
      classes: their names as the authors list them, none if there are no classes.
      splits: those that are published, with their images.
      licence: as stated; one without a licence may not be passed on.
      published: where.
      citation: what to cite.
    """

    key: str
    title: str
    images: int | None
    nuclei: int | None
    classes: tuple[str, ...]
    splits: str
    licence: str
    published: str
    citation: str


_NONE, _NOT_STATED = "none", "not stated"
_NC = "CC BY-NC-SA 4.0"
_HOVERNET = "https://github.com/vqdang/hover_net"
_EPITHELIA, _STROMA = ("healthy", "malignant"), ("fibroblast", "muscle", "endothelial")
_CONSEP = ("other", "inflammatory", *_EPITHELIA, *_STROMA)
_PANNUKE = ("neoplastic", "inflammatory", "connective", "dead", "non-neoplastic epithelial")
_LIZARD = ("neutrophil", "epithelial", "lymphocyte", "plasma", "eosinophil", "connective")

_RECORDS = (
    Record(
        "monuseg",
        "MoNuSeg 2018, H&E of seven and more organs",
        51,
        30_837,
        (),
        "train 37, test 14",
        _NC,
        "https://monuseg.grand-challenge.org/Data/",
        "Kumar et al., IEEE Trans. Med. Imaging 39(5), 2020",
    ),
    Record(
        "kumar",
        "Kumar 2017, 30 of MoNuSeg's training images",
        30,
        21_623,
        (),
        "train 16, test_same 8, test_diff 6",
        _NC,
        "https://monuseg.grand-challenge.org/Data/",
        "Kumar et al., IEEE Trans. Med. Imaging 36(7), 2017",
    ),
    Record(
        "monusac",
        "MoNuSAC 2020, H&E of lung, prostate, kidney, breast",
        294,
        46_909,
        ("Epithelial", "Lymphocyte", "Macrophage", "Neutrophil", "Ambiguous"),
        "train 209, test 85",
        _NC,
        "https://monusac-2020.grand-challenge.org/Data/",
        "Verma et al., IEEE Trans. Med. Imaging 40(12), 2021",
    ),
    Record(
        "consep",
        "CoNSeP, H&E of colorectal adenocarcinoma",
        41,
        24_319,
        _CONSEP,
        "train 27, test 14",
        "not stated by the authors; Apache-2.0 by one distributor",
        "https://warwick.ac.uk/fac/cross_fac/tia/data/hovernet/",
        "Graham et al., Medical Image Analysis 58, 2019",
    ),
    Record(
        "cpm15",
        "CPM-15, H&E of brain tumours",
        15,
        2_905,
        (),
        _NONE,
        _NOT_STATED,
        _HOVERNET,
        "Segmentation of Nuclei in Images, Computational Precision Medicine, MICCAI 2015",
    ),
    Record(
        "cpm17",
        "CPM-17, H&E of four kinds of tumour",
        64,
        7_570,
        (),
        "train 32, test 32",
        _NOT_STATED,
        _HOVERNET,
        "Vu et al., Frontiers in Bioengineering and Biotechnology 7, 2019",
    ),
    Record(
        "tnbc",
        "TNBC, H&E of triple negative breast cancer",
        50,
        4_022,
        (),
        _NONE,
        "CC BY 4.0",
        "https://zenodo.org/records/1175282",
        "Naylor et al., IEEE Trans. Med. Imaging 38, 2019",
    ),
    Record(
        "bns2017",
        "BNS, forerunner of TNBC",
        33,
        2_754,
        (),
        _NONE,
        _NOT_STATED,
        "http://members.cbio.mines-paristech.fr/~pnaylor/BNS.zip",
        "Naylor et al., ISBI 2017",
    ),
    Record(
        "pannuke",
        "PanNuke, H&E of 19 tissues",
        7_901,
        189_744,
        _PANNUKE,
        "folds 2,656, 2,523, 2,722",
        _NC,
        "https://warwick.ac.uk/fac/cross_fac/tia/data/pannuke",
        "Gamper et al., ECDP 2019; arXiv:2003.10778, 2020",
    ),
    Record(
        "cryonuseg",
        "CryoNuSeg, H&E of frozen sections of ten organs",
        30,
        7_596,
        (),
        _NONE,
        _NC,
        "https://www.kaggle.com/datasets/ipateam/segmentation-of-nuclei-in-cryosectioned-he",
        "Mahbod et al., Computers in Biology and Medicine 132, 2021",
    ),
    Record(
        "nuinsseg",
        "NuInsSeg, H&E of 31 human and mouse organs",
        665,
        30_698,
        (),
        _NONE,
        "CC BY 4.0",
        "https://zenodo.org/records/10518968",
        "Mahbod et al., Scientific Data 11, 2024",
    ),
    Record(
        "lizard",
        "Lizard, H&E of colon, without the part that is withheld",
        238,
        None,
        _LIZARD,
        "3 folds",
        _NC,
        "https://warwick.ac.uk/fac/cross_fac/tia/data/lizard",
        "Graham et al., ICCV Workshops 2021",
    ),
    Record(
        "conic",
        "CoNIC 2022, patches of Lizard",
        4_981,
        None,
        _LIZARD,
        _NONE,
        _NC,
        "https://conic-challenge.grand-challenge.org",
        "Graham et al., CoNIC 2022, arXiv:2111.14485",
    ),
    Record(
        "cnseg",
        "CNSeg, cervical smears: patches, clusters, two target domains",
        None,
        124_000,
        (),
        "train, test; of the target domains unlabelled, test",
        _NOT_STATED,
        "https://www.kaggle.com/datasets/zhaojing0522/cervical-nucleus-segmentation",
        "Zhao et al., Computer Methods and Programs in Biomedicine 241, 2023",
    ),
    Record(
        "isbi2014",
        "ISBI 2014, overlapping cervical cells, the real images",
        16,
        645,
        (),
        _NONE,
        _NOT_STATED,
        "https://cs.adelaide.edu.au/~carneiro/isbi14_challenge",
        "Lu et al., IEEE J. Biomedical and Health Informatics 21, 2017",
    ),
    Record(
        "nucls",
        "NuCLS, H&E of breast cancer, a selection of 15 tiles",
        15,
        640,
        ("Non-Tumor", "Tumor"),
        "train 10, test 5",
        "CC0 1.0",
        "https://sites.google.com/view/nucls",
        "Amgad et al., GigaScience 11, 2022",
    ),
    Record(
        "dsb2018",
        "2018 Data Science Bowl (BBBC038), stage 1: fluorescence and stained tissue",
        670,
        29_461,
        (),
        "stage1_train 670, stage1_test 65",
        "CC0 1.0",
        "https://data.broadinstitute.org/bbbc/BBBC038/",
        "Caicedo et al., Nature Methods 16, 2019",
    ),
    Record(
        "kvasir",
        "Kvasir-SEG, masks of polyps",
        1_000,
        None,
        (),
        _NONE,
        "research and education",
        "https://datasets.simula.no/kvasir-seg",
        "Jha et al., MMM 2020",
    ),
    Record(
        "cvc_clinicdb",
        "CVC-ClinicDB, masks of polyps",
        612,
        None,
        (),
        _NONE,
        "research",
        "https://polyp.grand-challenge.org/CVCClinicDB/",
        "Bernal et al., Computerized Medical Imaging and Graphics 43, 2015",
    ),
    Record(
        "cvc_colondb",
        "CVC-ColonDB, masks of polyps",
        380,
        None,
        (),
        _NONE,
        "research",
        "http://mv.cvc.uab.es/projects/colon-qa/cvccolondb",
        "Bernal et al., Pattern Recognition 45, 2012",
    ),
    Record(
        "etis",
        "ETIS-Larib Polyp DB, masks of polyps",
        196,
        None,
        (),
        _NONE,
        "research",
        "https://polyp.grand-challenge.org/ETISLarib/",
        "Silva et al., Int. J. Computer Assisted Radiology and Surgery 9, 2014",
    ),
    Record(
        "pranet",
        "PraNet's folders of the polyp sets",
        2_248,
        None,
        (),
        "train 1,450; test 60, 62, 380, 196, 100",
        "those of the sets",
        "https://github.com/DengPingFan/PraNet",
        "Fan et al., MICCAI 2020",
    ),
)

CATALOGUE: dict[str, Record] = {record.key: record for record in _RECORDS}

_HEADER = ("source", "set", "images", "nuclei", "classes", "published splits", "licence", "cite")


def table(records: Iterable[Record] = _RECORDS) -> str:
    """The records as a table in Markdown, one line each; the name of a set links to it."""
    rows = [_HEADER, ("---",) * len(_HEADER)]
    for record in records:
        names = ", ".join(record.classes)
        rows.append(
            (
                f"`{record.key}`",
                f"[{record.title}]({record.published})",
                _number(record.images),
                _number(record.nuclei),
                f"{len(record.classes)}: {names}" if names else "",
                record.splits,
                record.licence,
                record.citation,
            )
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _number(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
