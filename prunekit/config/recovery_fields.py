"""The fields of what brings accuracy back, and of training from random weights: one line each in the table of fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from prunekit.config.fields import setting
from prunekit.config.kinds import Number, OneOf, Share, Whole, YesNo

OPTIMIZER = OneOf({"sgd": "SGD", "adam": "Adam"})
RATE = OneOf({"cosine": "Falls along a cosine", "rewind": "Rewound: as at the end of the model's own training", "constant": "Stays"})
SCHEDULE = OneOf(
    {"one-shot": "Once (one-shot)", "iterative": "Iterative", "agp": "AGP (cubic)", "linear": "Linear"},
    {
        "one-shot": "one cut, then all epochs",
        "iterative": "every cut removes the same share of what is left (Han et al. 2015)",
        "agp": "much at first, ever less later (Zhu and Gupta 2017)",
        "linear": "the same amount at every cut. The gradual ones fine-tune after every cut and need one for each, or none at all",
    },
)
PREPARE = OneOf(
    {"none": "No", "group_lasso": "Group lasso", "bn_scale": "Scales of BatchNorm", "growing": "Growing decay"},
    {
        "none": "the model is cut as it is",
        "group_lasso": "the norm of each channel, with all that is coupled to it, is penalised (Fang et al. 2023, arXiv:2301.12900)",
        "bn_scale": "the size of its scale in BatchNorm is (Liu et al. 2017, arXiv:1708.06519)",
        "growing": "what will go is chosen first and decays ever faster (Wang et al. 2021, arXiv:2012.09243)",
    },
)
PREPARED = {"prepare": ("group_lasso", "bn_scale", "growing")}
SEED = Whole(0, (0, 2**53 - 1))
IMAGES = Whole(0, (0, 10_000_000), 500)

TUNED = {"epochs": None}
ACTIVE = (TUNED, {"recalibrate": None})
NOWHERE: dict[str, Any] = {"flag": "", "address": ""}
GRADUAL = {"schedule": ("iterative", "agp", "linear")}


@dataclass(frozen=True)
class RecoveryFields:
    """Every field of a recovery."""

    recalibrate: bool = setting(
        False, YesNo(), "Recalibrate BatchNorm",
        "measure the statistics of BatchNorm again, on training samples, after the last cut and before the fine-tuning that follows it: "
        "cheap, and often most of the way back",
    )  # fmt: skip
    images: int = setting(
        2048, Whole(1, (1, 10_000_000), 512), "Samples to recalibrate on", "how many training samples recalibration looks at",
        flag="recalibration-images", address="recalibration_images", when={"recalibrate": None},
    )  # fmt: skip
    epochs: int = setting(
        0, Whole(0, (0, 200)), "Epochs of fine-tuning", "fine-tune over so many epochs, in all; a schedule shares them out"
    )
    optimizer: str = setting("sgd", OPTIMIZER, "Optimizer", "SGD with Nesterov momentum, or Adam", when=TUNED)
    lr: float = setting(
        0.01, Number(least=0, screen=(0, 10), step=0.001), "Learning rate", "peak learning rate; the rate rewind has its own",
        when={"epochs": None, "rate": ("cosine", "constant")},
    )  # fmt: skip
    rate: str = setting(
        "cosine", RATE, "Course of the rate",
        "how the learning rate falls: along a cosine, as over the last epochs of the model's own training (Renda, Frankle and Carbin 2020, "
        "arXiv:2003.02389), or not at all", when=TUNED,
    )  # fmt: skip
    momentum: float = setting(
        0.9, Number(least=0, below=1, screen=(0, 0.9999), step=0.05), "Momentum", "of SGD; Adam's first decay rate", when=TUNED
    )
    weight_decay: float = setting(
        5e-4, Number(least=0, screen=(0, 10), step=0.0001), "Weight decay", "L2 penalty on weights; biases and norms have none", when=TUNED
    )
    batch_size: int = setting(128, Whole(2, (2, 65_536), 32), "Batch size", "samples a step", when=TUNED)
    augment: bool = setting(
        True, YesNo(), "Augmentation", "shift and mirror pictures as in the model's own training; models without a card have none",
        when=ACTIVE,
    )  # fmt: skip
    distill: float = setting(
        0.0, Share("the weight of the dense model's predictions in the loss", whole=True), "Distillation",
        "weight of the dense model's softened predictions in the loss; the labels have the rest (Hinton et al. 2015, arXiv:1503.02531)",
        when=TUNED,
    )  # fmt: skip
    temperature: float = setting(
        2.0, Number(above=0, screen=(0.1, 100), step=0.5), "Temperature", "softens the predictions that are distilled",
        when={"epochs": None, "distill": None},
    )  # fmt: skip
    schedule: str = setting(
        "one-shot", SCHEDULE, "Schedule", "cut once, or ever further, each cut scored anew, with its share of the epochs after it"
    )
    steps: int = setting(1, Whole(1, (2, 100)), "Steps", "cuts of a gradual schedule", when=GRADUAL)
    train_images: int = setting(
        0, IMAGES, "Samples to train on", "fine-tune on a fixed stratified subset: quicker, and not as good", usual="all", when=TUNED
    )
    seed: int = setting(
        0, SEED, "Seed of training", "seed of the order of samples and their augmentation", flag="recovery-seed", address="", when=ACTIVE,
    )  # fmt: skip
    prepare: str = setting(
        "none", PREPARE, "Prepare", "train with a penalty before the cut, so that what goes is small by then; for whole channels", when=()
    )
    prepare_epochs: int = setting(
        5, Whole(1, (1, 200)), "Epochs of preparation", "passes over the training samples before the cut", when=PREPARED
    )
    penalty: float | None = setting(
        None, Number(least=0, screen=(0, 100), step=0.001), "Penalty", "strength of what prepares", usual="0.001, of growing 1",
        address="", when=PREPARED,
    )  # fmt: skip


@dataclass(frozen=True)
class TrainingFields:
    """Every field of training from random weights; None is what the sample's own recipe says."""

    epochs: int | None = setting(
        None, Whole(1, (1, 200)), "Epochs", "passes over the training samples: one cycle of the learning rate", **NOWHERE
    )
    lr: float | None = setting(None, Number(least=0, screen=(0, 10), step=0.001), "Learning rate", "peak learning rate", **NOWHERE)
    batch_size: int | None = setting(None, Whole(2, (2, 65_536), 32), "Batch size", "samples a step", **NOWHERE)
    weight_decay: float | None = setting(
        None, Number(least=0, screen=(0, 10)), "Weight decay", "L2 penalty on weights, not on biases and norms", **NOWHERE
    )
    augment: bool = setting(True, YesNo(), "Augmentation", "shift and mirror pictures as the recipe says", **NOWHERE)
    train_images: int = setting(
        0, IMAGES, "Samples to train on", "a fixed stratified subset of the training samples", usual="all", **NOWHERE
    )
    seed: int = setting(0, SEED, "Seed", "seed of the first weights, the order of the samples and their augmentation", **NOWHERE)
