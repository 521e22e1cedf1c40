"""Sample models of tables: what they are, how they were trained, and the training. Needs torch and nothing of prunekit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from sample_models import architectures


@dataclass(frozen=True)
class TableRecipe:
    """AdamW under a one-cycle learning rate, mean squared error on standardised targets.

    Parameters
    ----------
    epochs, batch_size : int
        Passes over the training rows, and rows a step.
    max_lr : float
        Peak of the one-cycle schedule (Smith and Topin, 2018).
    weight_decay : float
        Decoupled (Loshchilov and Hutter, 2019).
    seed : int
        Seed of the weights, the order of the rows and the dropout.
    """

    epochs: int
    batch_size: int
    max_lr: float
    weight_decay: float
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the card."""
        return {"optimizer": "AdamW", "schedule": "OneCycleLR, cosine", "loss": "mean squared error", **asdict(self)}


@dataclass(frozen=True)
class TableSample:
    """One sample model of a table.

    Parameters
    ----------
    name, title, task : str
        How it is asked for, its title, and the name of its task.
    about, description : str
        What it does in a few words, and one plain sentence.
    build : callable
        Returns the untrained module.
    input_shape : tuple of int
        (features,) of one row.
    data : str
        Name of the data set.
    recipe : TableRecipe
        How it was trained.
    """

    name: str
    title: str
    task: str
    about: str
    description: str
    build: Callable[[], nn.Module]
    input_shape: tuple[int, ...]
    data: str
    recipe: TableRecipe


TABLES: dict[str, TableSample] = {
    sample.name: sample
    for sample in (
        TableSample(
            name="diabetes_mlp",
            title="Diabetes, perceptron",
            task="table-regression",
            about="how far the disease has come after a year, from ten numbers of a patient",
            description="Three linear layers that predict one number from ten: the smallest regression to prune.",
            build=architectures.diabetes_mlp,
            input_shape=(10,),
            data="diabetes",
            recipe=TableRecipe(epochs=60, batch_size=30, max_lr=0.005, weight_decay=1.0),
        ),
    )
}


def fit_table(build: Callable[[], nn.Module], rows: Tensor, targets: Tensor, recipe: TableRecipe) -> tuple[nn.Module, float]:
    """Train a new module and return it, in eval mode, with the minutes that took.

    Parameters
    ----------
    build : callable
        Returns the untrained module; called under the recipe's seed.
    rows, targets : Tensor
        Standardised, [n, features] and [n].
    recipe : TableRecipe
        The settings.
    """
    begin = time.monotonic()
    torch.manual_seed(recipe.seed)
    model, steps = build().train(), len(rows) // recipe.batch_size
    optimizer = torch.optim.AdamW(model.parameters(), recipe.max_lr, weight_decay=recipe.weight_decay)
    schedule = OneCycleLR(optimizer, recipe.max_lr, total_steps=steps * recipe.epochs)
    for _ in range(recipe.epochs):
        for take in torch.split(torch.randperm(len(rows))[: steps * recipe.batch_size], recipe.batch_size):
            loss = F.mse_loss(model(rows[take])[:, 0], targets[take])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model.eval(), (time.monotonic() - begin) / 60
