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
    (0, 68, 178),
    (255, 194, 10),
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
LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b2430",
    "faint": "#5b6675",
    "line": "#d9dee5",
    "panel": "#f5f7f9",
    "s0": "#0072b2",
    "s1": "#d55e00",
    "s2": "#009e73",
    "s3": "#aa4b80",
    "s4": "#a06a00",
    "s5": "#2b8cc4",
    "s6": "#444444",
}
DARK = {
    "paper": "#14181d",
    "ink": "#e4e8ed",
    "faint": "#9aa5b1",
    "line": "#323a44",
    "panel": "#1d232a",
    "s0": "#56b4e9",
    "s1": "#f0813a",
    "s2": "#2cc79a",
    "s3": "#dd92bb",
    "s4": "#e69f00",
    "s5": "#8fd0f5",
    "s6": "#bbbbbb",
}
SERIES = tuple(value for name, value in LIGHT.items() if name[0] == "s")
