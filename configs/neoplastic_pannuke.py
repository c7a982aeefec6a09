"""The flexible U-Net on PanNuke's neoplastic nuclei, by itself one class of five.

Network and settings: "Image-Segmentation-Neoplastic-Cell" and "Tensorflow-Slightly-Flexible-UNet"
(antillia): BCE and soft IoU, Adam with 1e-4, elements of gradients clipped at 0.5, batches of 4, up
to 100 epochs, stopped after 10 without a better one. Published, on tiles of which turned copies
were trained on: soft IoU 0.6100, loss 0.3341, best in epoch 34.

`compat` has that leak and the masks that grew by a pixel, from fold 1, without the JPEG files in
between. The default is split by tile and augmented as it is read, in 8 symmetries in place of 6
copies; an epoch is a sixth. In both the order is shuffled, and the validation's loss decides. Its
`soft_iou` is in metrics.jsonl. `small`, for a CPU: 5 levels, normalized, crops of 128, AdamW.

    jaxnuc train --config=neoplastic_pannuke --workdir=runs/neoplastic \
        --config.data.root=FOLDER_OF_FOLD_1
    jaxnuc evaluate --workdir=runs/neoplastic --split=test
"""

from ml_collections import ConfigDict

from jaxnuc.config import arguments, default


def get_config(text: str = "") -> ConfigDict:
    arg = arguments(text, small=False, compat=False)
    config = default()
    size = "small" if arg.small else "neoplastic"
    config.model = ConfigDict({"name": "flexible_unet", "variant": size})
    config.representation = ConfigDict({"name": "binary", "loss": {"name": "bce_iou"}})
    variant = "neoplastic_compat" if arg.compat else "neoplastic"
    config.data.source = ConfigDict({"name": "pannuke", "variant": variant, "folds": (1,)})
    config.data.transforms = () if arg.compat else ("preset('flexible_unet')",)
    config.batch_size = 4
    config.duration = "100 epochs" if arg.compat else "600 epochs"
    config.compute_dtype = "bfloat16"
    config.optimizer = ConfigDict({"name": "adam", "learning_rate": 1e-4, "eps": 1e-7})
    config.schedule = ConfigDict({"name": "constant"})
    config.clip_value = 0.5
    config.evaluation.every = "1 epochs" if arg.compat else "6 epochs"
    config.evaluation.loss, config.evaluation.monitor = True, "loss"
    config.evaluation.patience = 10
    if arg.small:
        config.data.transforms = ("random_crop(128)", *config.data.transforms)
        config.batch_size = 8
        config.duration = "1000 steps"
        config.compute_dtype = "float32"
        config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 2e-3})
        config.schedule = ConfigDict({"name": "cosine", "warmup": "50 steps"})
        config.evaluation.every = "500 steps"
    return config
