"""Named lists of transforms: by strength, and those of published systems.

In a config, `"preset('he_medium')"` stands for the list; more can be written before and after it.
Most presets have no crop, so that they work at any size:

    transforms = ["random_crop(384)", "preset('he_medium')", "random_crop(256)"]

Presets with `scale` change the size and need a crop after them.
"""

PRESETS: dict[str, tuple[str, ...]] = {
    # --- by strength: hematoxylin and eosin ---
    "he_light": ("flip_turn()", "stain_jitter(0.02)", "color_jitter(0.1, 0.1, 0.1, 0.01)"),
    "he_medium": (
        "scale(0.8, 1.25)",
        "flip_turn()",
        "elastic(4, p=0.5)",
        "stain_matrix_jitter(0.1, 0.3, p=0.8)",
        "color_jitter(0.15, 0.15, 0.1, 0.02)",
        "blur(1.0, p=0.2)",
        "noise(0.02, p=0.3)",
    ),
    "he_strong": (
        "scale(0.6, 1.6)",
        "flip_turn()",
        "elastic(8, p=0.7)",
        "cut_paste(8, p=0.3)",
        "stain_matrix_jitter(0.2, 0.5, p=0.9)",
        "stain_jitter(0.05)",
        "color_jitter(0.25, 0.25, 0.3, 0.05)",
        "blur(2.0, p=0.3)",
        "noise(0.04, p=0.4)",
        "jpeg(30, 90, p=0.3)",
        "coarse_dropout(p=0.3)",
    ),
    # --- by strength: fluorescence; no colors, as most of it is gray ---
    "fluorescence_light": ("flip_turn()", "intensity(0.8, 1.25, shift=0.02)"),
    "fluorescence_medium": (
        "scale(0.7, 1.4)",
        "flip_turn()",
        "elastic(4, p=0.5)",
        "intensity(0.6, 1.6, shift=0.05)",
        "blur(1.0, p=0.2)",
        "noise(0.03, p=0.3)",
    ),
    "fluorescence_strong": (
        "scale(0.5, 2.0)",
        "flip_turn()",
        "elastic(8, p=0.7)",
        "cut_paste(10, p=0.3)",
        "intensity(0.4, 2.0, shift=0.1)",
        "blur(2.0, p=0.3)",
        "noise(0.06, p=0.5)",
        "jpeg(30, 90, p=0.3)",
        "coarse_dropout(p=0.3)",
    ),
    # --- published systems ---
    # Zhao et al., AL-Net, IEEE JBHI 2022: hue 30 of OpenCV's 180, saturation 5 and value 15 of 255.
    # Their hue wraps at 256 in place of 180, a fault that is not repeated. Inputs of 448 x 448. The
    # stronger color set of their unsupervised phase is left out.
    "alnet_attention": (
        "hsv_shift(0.1667, 0.0196, 0.0588, p=0.5)",
        "affine((0.9, 1.1), aspect=0.1, rotation=0, translation=0.1, p=0.5)",
        "flip_turn()",
    ),
    # Chen et al., AL-Net with adaptive learning, Electronics 2025: nothing is published on
    # augmentation. This is what similar papers on the same data do; end with a crop.
    "alnet_adaptive": ("scale(0.8, 1.2)", "flip_turn()", "color_jitter(0.2, 0.2, 0, 0)"),
    # Chen et al., HARU-Net: 8 copies of each image as in the code. The range of the paper's "random
    # rotations" is not specified: put "rotate(15)" before it. Nor are its "feature enhancement,
    # image denoising, and filtering" of CoNSeP, for which sharpening and the usual filters stand.
    "harunet": ("flip_turn()",),
    "harunet_consep": (
        "flip_turn()",
        "one_of(['sharpen(1, p=0.5)', 'median_blur(p=0.5)', 'blur(1, p=0.5)'])",
    ),
    # Antillia's flexible U-Net on PanNuke: 6 copies, quarter turns, mirror and flip. Here also the
    # two diagonal mirror images.
    "flexible_unet": ("flip_turn()",),
    # Graham et al., HoVer-Net, Medical Image Analysis 2019, mode "original". Flips follow a turn by
    # any angle, so quarter turns change nothing. Strengths of blur and noise are not known here.
    # Hue is +-8 of 180, brightness +-26 of 255, always in this order and not in a random one.
    # Contrast 0.75 to 1.25 is left out: the published function returns the image unchanged.
    "hovernet": (
        "random_crop(540)",
        "affine((0.8, 1.2), shear=5, rotation=179, translation=0.01, nearest=True)",
        "center_crop(270)",
        "flip_turn()",
        "one_of(['blur(1.0, p=1)', 'median_blur(p=1)', 'noise(0.05, p=1)'])",
        "hsv_shift(0.0444, 0, 0, p=1)",
        "color_jitter(0, 0, 0.2, 0)",
        "intensity(1, 1, shift=0.102)",
    ),
    # Schmidt et al., StarDist, MICCAI 2018, its examples. They change intensities after the
    # percentile normalization, in floating point without a limit; here they clip.
    "stardist": ("flip_turn()", "intensity(0.6, 2.0, shift=0.2)", "noise(0.02, p=1)"),
    # Weigert and Schmidt, StarDist for CoNIC, ISBIC 2022. Noise has a random strength up to theirs;
    # whether their brightness adds or multiplies is not known here.
    "stardist_conic": (
        "flip_turn()",
        "elastic(10, grid=64, p=0.8)",
        "stain_matrix_jitter(0.15, 0.4, p=0.9)",
        "blur(2.0, p=0.1)",
        "noise(0.01, p=0.8)",
        "color_jitter(0.1, 0, 0, 0, p=0.9)",
    ),
    # Parulekar et al., combining data sets with different label sets. No strength is published;
    # these are ours. Elastic maps are more frequent on rare classes there, by sampling.
    "combined_label_sets": ("flip_turn()", "elastic(6, p=0.5)", "color_jitter(0.1, 0, 0.1, 0.02)"),
}
# The same with the size of mode "fast".
PRESETS["hovernet_fast"] = tuple(
    "center_crop(256)" if text == "center_crop(270)" else text for text in PRESETS["hovernet"]
)
