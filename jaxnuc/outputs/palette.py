"""Every color in which nuclei and charts are drawn."""

Color = tuple[int, int, int]

# Okabe and Ito's palette, whose colors are distinct with any color vision.
SKY: Color = (86, 180, 233)
VERMILION: Color = (230, 97, 0)
YELLOW: Color = (240, 228, 66)
WHITE: Color = (255, 255, 255)

# Nuclei without a class; then the classes, in turn. The first are distinct with any color vision,
# and all are on stained tissue: none is pink or purple.
UNCLASSIFIED = YELLOW
CLASSES: tuple[Color, ...] = (
    SKY,
    VERMILION,
    (0, 158, 115),
    (255, 194, 10),
    (0, 68, 178),
    (0, 0, 0),
    (64, 224, 208),
    (128, 128, 128),
    (170, 255, 50),
    (140, 30, 0),
    WHITE,
    (0, 80, 0),
)

# Outlines of true and predicted nuclei, on black, white and stained tissue.
MATCHED = SKY  # a prediction that matches a true nucleus
TRUTH = WHITE  # that true nucleus
FALSE = VERMILION  # a prediction that matches no true nucleus
MISSED = YELLOW  # a true nucleus that no prediction matches

# Charts, on light and on dark paper. The names are those of the CSS variables of the reports.
_CHARTS = {
    "paper": ("#ffffff", "#14181d"),
    "ink": ("#1b2430", "#e4e8ed"),
    "faint": ("#5b6675", "#9aa5b1"),
    "line": ("#d9dee5", "#323a44"),
    "panel": ("#f5f7f9", "#1d232a"),
    "s0": ("#0072b2", "#56b4e9"),
    "s1": ("#d55e00", "#f0813a"),
    "s2": ("#009e73", "#2cc79a"),
    "s3": ("#aa4b80", "#dd92bb"),
    "s4": ("#a06a00", "#e69f00"),
    "s5": ("#2b8cc4", "#8fd0f5"),
    "s6": ("#444444", "#bbbbbb"),
}
LIGHT, DARK = ({name: pair[k] for name, pair in _CHARTS.items()} for k in (0, 1))
SERIES = tuple(value for name, value in LIGHT.items() if name[0] == "s")
