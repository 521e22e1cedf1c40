"""A model of two inputs, a float and an integer one, under a task of its own that is better when lower: from file to comparison."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prunekit.errors import DataError
from prunekit.local_code.factories import call, load_factory
from prunekit.models.load import load_model
from prunekit.tasks.batches import batches_of
from prunekit.tasks.observations import Observations
from prunekit.tasks.resolver import resolve

MINE = """
import torch
from torch import nn
from torch.utils.data import Dataset
from prunekit.tasks import metric

class Tariff(nn.Module):
    def __init__(self):
        super().__init__()
        self.kind, self.hidden, self.out = nn.Embedding(4, 8), nn.Linear(5 + 8, 32), nn.Linear(32, 1)
    def forward(self, load, kind):
        return {"hours": load, "demand": self.out(torch.relu(self.hidden(torch.cat([load, self.kind(kind)], 1))))[:, 0]}

class Days(Dataset):
    def __init__(self, n, seed):
        generator = torch.Generator().manual_seed(seed)
        self.load, self.kind = torch.randn(n, 5, generator=generator), torch.randint(0, 4, (n,), generator=generator)
        self.demand = self.load.sum(1) + self.kind
    def __len__(self):
        return len(self.load)
    def __getitem__(self, i):
        return {"load": self.load[i], "kind": self.kind[i]}, self.demand[i]

@metric(better="lower", unit="kWh")
def mean_error(seen):
    return abs(seen["error"]).mean()

class Demand:
    metrics, unit_of_data = [mean_error], "day"
    def loss(self, output, batch):
        return torch.nn.functional.mse_loss(output["demand"], batch.targets)
    def observe(self, output, batch):
        return {"error": output["demand"] - batch.targets, "target": batch.targets}

def model():
    return Tariff()
model.task = Demand()
model.example = lambda: {"load": torch.zeros(2, 5), "kind": torch.tensor([0, 3])}

def days():
    return Days(120, 1)
"""


def test_from_a_file_to_a_paired_comparison(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    file = f"{tmp_path / 'mine.py'}"
    model, days = load_model(f"{file}:model"), call(f"{file}:days", load_factory(f"{file}:days", DataError), DataError)
    task = resolve(model, days)
    assert (task.headline.name, task.headline.better, task.count(120)) == ("mean_error", "lower", "120 days")
    example = task.example(model)
    assert list(task.tensors(task.forward(model, example))) == ["hours", "demand"]

    trained = deepcopy(model).requires_grad_(True)
    for _ in range(30):
        for batch in batches_of(days, 40):
            task.loss(task.forward(trained, batch), batch).backward()
            with torch.no_grad():
                for weight in trained.parameters():
                    weight.sub_(0.1 * weight.grad)
                    weight.grad = None

    pruned = deepcopy(trained).requires_grad_(False)
    hidden: Any = pruned.get_submodule("hidden").weight
    hidden[hidden.abs() < hidden.abs().median()] = 0

    def seen(network: torch.nn.Module, size: int) -> Observations:
        with torch.inference_mode():
            return Observations.concat(task.observe(task.forward(network, batch), batch) for batch in batches_of(days, size))

    headline = task.headline
    untrained, dense, sparse = (headline.reduce(seen(each, 50)) for each in (model, trained, pruned))
    assert headline.is_better(dense, untrained) and headline.loss(dense, sparse) > 0
    assert np.allclose(seen(trained, 7).values, seen(trained, 120).values, atol=1e-5)
    worse, same = (headline.compare(seen(trained, 50), seen(each, 50)) for each in (pruned, trained))
    assert headline.lost(worse).low > 0 and worse.significant
    assert (same.value, same.significant) == (0.0, False)
    assert headline.format_difference(worse).startswith("+") and headline.format_difference(worse).endswith("kWh, significant")
