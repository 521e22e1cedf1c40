"""Sample models: definitions, trained weights and a card each. Needs torch and nothing of prunekit.

Examples
--------
>>> from sample_models import SAMPLES, card
>>> model = SAMPLES["digits_mlp"].build()
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from sample_models import architectures
from sample_models.recipes import Teaching, TrainRecipe

HERE = Path(__file__).resolve().parent
DIGITS = tuple("0123456789")
CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Sample:
    """One sample model.

    Parameters
    ----------
    name : str
        How it is asked for.
    title, task, description : str
        Title, what it does in a few words, and one plain sentence for the start page.
    build : callable
        Returns the untrained module.
    input_shape : tuple of int
        (C, H, W) of one input.
    data : str
        Name of the data set it belongs to.
    mean, std : tuple of float
        What was subtracted from and divided out of pixels in 0..1, for each channel.
    classes : tuple of str
        Names of the outputs.
    recipe : TrainRecipe
        How it was trained.
    jpeg_quality : int, optional
        Quality of the JPEG encoding that the training images had been through.
    """

    name: str
    title: str
    task: str
    description: str
    build: Callable[[], nn.Module]
    input_shape: tuple[int, int, int]
    data: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    recipe: TrainRecipe
    jpeg_quality: int | None = None


_DIGITS_PIXELS: dict[str, Any] = {"input_shape": (1, 8, 8), "data": "digits", "mean": (0.3053,), "std": (0.3761,), "classes": DIGITS}
_MNIST_PIXELS: dict[str, Any] = {"input_shape": (1, 28, 28), "data": "mnist", "mean": (0.1307,), "std": (0.3081,), "classes": DIGITS}
_CIFAR10_PIXELS: dict[str, Any] = {
    "input_shape": (3, 32, 32),
    "data": "cifar10",
    "mean": (0.4914, 0.4822, 0.4465),
    "std": (0.2470, 0.2435, 0.2616),
    "classes": CIFAR10,
    "jpeg_quality": 75,
}
_CIFAR10_RECIPE: dict[str, Any] = {
    "epochs": 26,
    "max_lr": 0.2,
    "shift": 4,
    "flip": True,
    "small_size": 24,
    "teaching": Teaching(("cifar10_resnet20", "cifar10_mobilenetv2"), cutout=8),
}

SAMPLES: dict[str, Sample] = {
    sample.name: sample
    for sample in (
        Sample(
            name="digits_mlp",
            title="Digits, perceptron",
            task="handwritten digits, 8 x 8 pixels",
            description="Three linear layers that read small handwritten digits: the quickest way to watch single weights go.",
            build=architectures.digits_mlp,
            recipe=TrainRecipe(epochs=60, batch_size=64, max_lr=0.1, shift=1),
            **_DIGITS_PIXELS,
        ),
        Sample(
            name="digits_cnn",
            title="Digits, convolutional",
            task="handwritten digits, 8 x 8 pixels",
            description="Two convolutions and two linear layers that read small handwritten digits: small enough to prune filters at once.",
            build=architectures.digits_cnn,
            recipe=TrainRecipe(epochs=40, batch_size=64, max_lr=0.1, shift=1),
            **_DIGITS_PIXELS,
        ),
        Sample(
            name="mnist_lenet300",
            title="LeNet-300-100",
            task="handwritten digits (MNIST), 28 x 28 pixels",
            description="The perceptron of many pruning papers: most of its 266,000 weights sit in the first layer.",
            build=architectures.mnist_lenet300,
            recipe=TrainRecipe(epochs=20, max_lr=0.1, shift=1),
            **_MNIST_PIXELS,
        ),
        Sample(
            name="mnist_lenet5",
            title="LeNet-5",
            task="handwritten digits (MNIST), 28 x 28 pixels",
            description="The convolutional classic of many pruning papers: few weights in its convolutions, most in one linear layer.",
            build=architectures.mnist_lenet5,
            recipe=TrainRecipe(epochs=12, max_lr=0.05, shift=2),
            **_MNIST_PIXELS,
        ),
        Sample(
            name="cifar10_resnet20",
            title="ResNet-20",
            task="small colour photographs (CIFAR-10), 32 x 32 pixels",
            description="A residual network for small photographs: its shortcuts tie channels of many layers together.",
            build=architectures.cifar10_resnet20,
            recipe=TrainRecipe(small_share=0.6, restarts=((16, 0.1), (24, 0.1)), **_CIFAR10_RECIPE),
            **_CIFAR10_PIXELS,
        ),
        Sample(
            name="cifar10_mobilenetv2",
            title="MobileNetV2",
            task="small colour photographs (CIFAR-10), 32 x 32 pixels",
            description="A network made for phones: its depthwise convolutions shrink with the channels that they filter.",
            build=architectures.cifar10_mobilenetv2,
            recipe=TrainRecipe(small_share=0.69, restarts=((5, 0.05), (16, 0.05)), **_CIFAR10_RECIPE),
            **_CIFAR10_PIXELS,
        ),
    )
}


FOLDERS: dict[str, Path] = {path.parent.name: path.parent for path in sorted(HERE.glob("*/sample.py"))}
"""Samples in a folder of their own, found by being there: ``sample.py`` with ``model`` (and its ``data`` and ``task``), weights, card."""


def in_folder(name: str, what: str) -> str:
    """Return ``path/to/sample.py:what`` for a sample with a folder of its own, and any other name as it is."""
    return f"{FOLDERS[name] / 'sample.py'}:{what}" if name in FOLDERS else name


def weights_path(name: str) -> Path:
    """Return where the weights of the sample ``name`` lie, whether or not they are there."""
    return FOLDERS[name] / "weights.safetensors" if name in FOLDERS else HERE / "weights" / f"{name}.safetensors"


def card_path(name: str) -> Path:
    """Return where the card of the sample ``name`` lies, whether or not it is there."""
    return FOLDERS[name] / "card.yaml" if name in FOLDERS else HERE / "cards" / f"{name}.yaml"


@cache  # a page asks for all cards several times; whoever writes one clears it
def read_card(path: Path) -> dict[str, Any]:
    """Return the card in ``path``; empty where there is none."""
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def card(name: str) -> dict[str, Any]:
    """Return the card of the sample ``name``, as its training wrote it; empty before its first training."""
    return dict(read_card(card_path(name)))
