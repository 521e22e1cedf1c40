"""Small data and networks for the tests of recovery."""

from dataclasses import replace

import numpy as np
import torch
from torch import nn

import prunekit
from prunekit.config.ids import DataId
from prunekit.data.dataset import Data, Normal, TensorSplit
from tests.nets import Net

CLASSES = ("left", "middle", "right")


def split_of(n, seed=0, classes=3):
    """Images of 6 x 6 pixels whose class is told by which third is bright."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    pixels = random.integers(0, 90, (n, 2, 6, 6))
    for i, label in enumerate(labels):
        pixels[i, :, :, 2 * label : 2 * label + 2] += 120
    return TensorSplit(torch.from_numpy(pixels.astype(np.uint8)), labels, Normal((0.3, 0.3), (0.25, 0.25)))


def data_of(train=96, validation=30, test=30):
    """Data with three classes that a small network learns in a few steps."""
    parts = {
        name: split_of(n, seed) for seed, (name, n) in enumerate({"train": train, "validation": validation, "test": test}.items()) if n
    }
    return Data(DataId("bars"), classes=CLASSES, **parts)


def without(data, **parts):
    """The same data with some parts replaced."""
    return replace(data, **parts)


def net(seed=0, norm=True):
    """A convolutional network with BatchNorm."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [nn.Conv2d(2, 8, 3, padding=1), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.ReLU()]
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8) if norm else nn.Identity(), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(72, 16), nn.ReLU(), nn.Linear(16, 3)]
        return nn.Sequential(*layers).eval().requires_grad_(False)


def residual(*inner):
    """A network whose blocks alone hold BatchNorm, and can go."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Net(6, [("residual", width, 1) for width in inner], 9, 1, False).eval().requires_grad_(False)


def trained(data, seed=0):
    """The network, trained."""
    return prunekit.fine_tune(net(seed), data, prunekit.Recovery(epochs=6, lr=0.05, batch_size=16)).model


def bits(model):
    """Everything in the state dict, to compare bit by bit."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(a, b):
    """Whether two states are equal bit by bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
