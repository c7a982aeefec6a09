"""AL-Net with adaptive learning on the 2018 Data Science Bowl: a reconstruction.

Paper: Chen et al., "AL-Net: Adaptive Learning for Enhanced Cell Nucleus Segmentation in
Pathological Images", Electronics 14(17), 2025. Its abstract, all that is known here, states Dice
0.9296 and IoU 0.8686; as IoU = Dice / (2 - Dice) holds for them, compare with `dice_pooled` and
`iou_pooled`. Network, boundary loss, the criteria that decide when Dice gives way to the boundary
and Lion to SGD, and all numbers are choices made here. 80 / 10 / 10 % of the images by the seed;
where a `split.csv` lies beside the data, by that.

Across domains, as in the abstract, on polyps: evaluate with --source=etis or --source=cvc_colondb.
`small`, for a CPU: half the widths and a level less, 600 steps of 8 crops of 128, both decisions
within the first 360.

    jaxnuc train --config=alnet_adaptive_dsb2018 --workdir=runs/alnet_adaptive \
        --config.data.root=FOLDER_OF_STAGE1_TRAIN
    jaxnuc evaluate --workdir=runs/alnet_adaptive --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, small=False)
    config = default()
    size = "small" if arg.small else "full"
    # Of the training images, each of which counts as much.
    colors = {"mean": (0.168, 0.153, 0.186), "std": (0.261, 0.242, 0.294)}
    config.model = ConfigDict({"name": "alnet_adaptive", "variant": size, **colors})
    config.representation = ConfigDict({"name": "binary", "loss": {"name": "dice_boundary"}})
    config.data.source = ConfigDict({"name": "dsb2018", "fractions": (0.8, 0.1, 0.1)})
    config.data.transforms = ("random_crop(320)", "preset('alnet_adaptive')", "random_crop(256)")
    config.batch_size = 16
    config.duration = "200 epochs"
    config.compute_dtype = "bfloat16"
    # What is not given here is in jaxnuc.optim and jaxnuc.losses.schedules, in epochs.
    config.optimizer = ConfigDict({"name": "lion_then_sgd", "learning_rate": 1e-4})
    config.schedule = ConfigDict({"name": "constant"})
    config.loss_schedule = ConfigDict({"name": "self_scheduled"})
    config.evaluation.every = "5 epochs"
    config.evaluation.monitor = "dice_pooled"
    if arg.small:
        config.data.transforms = (
            "random_crop(160)",
            "preset('alnet_adaptive')",
            "random_crop(128)",
        )
        config.batch_size = 8
        config.duration = "600 steps"
        config.compute_dtype = "float32"
        config.optimizer.learning_rate = 3e-4
        steps = {"warmup": "50 steps", "patience": "50 steps", "smoothing": "10 steps"}
        config.optimizer.criterion = ConfigDict({"name": "dynamic", "window": 100, **steps})
        stages = {"smoothing": "10 steps", "window": "50 steps", "earliest": "100 steps"}
        config.loss_schedule = ConfigDict({"name": "self_scheduled", **stages, "ramp": "60 steps"})
        config.evaluation.every = "600 steps"
    return config
