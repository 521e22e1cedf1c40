"""How far diabetes has come after a year, from ten numbers of a patient: the smallest regression to prune."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn


def model() -> nn.Module:
    """Return the untrained perceptron 10-64-32-1; dropout, since there are few patients to learn from."""
    layers: list[tuple[str, nn.Module]] = [
        ("fc1", nn.Linear(10, 64)),
        ("relu1", nn.ReLU()),
        ("drop1", nn.Dropout(0.3)),
        ("fc2", nn.Linear(64, 32)),
        ("relu2", nn.ReLU()),
        ("drop2", nn.Dropout(0.3)),
        ("fc3", nn.Linear(32, 1)),
    ]
    return nn.Sequential(OrderedDict(layers))


vars(model).update(task="table-regression", data="diabetes", input_shape=(10,))
