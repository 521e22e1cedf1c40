"""Training of the samples of tables, of rows and of what people choose: by the recipe on their card, on data by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from prunekit.data.interactions import InteractionSplit
from prunekit.data.load import load_data
from prunekit.data.tables import TableData, load_diabetes
from prunekit.errors import ModelError
from prunekit.local_code.factories import load_factory
from prunekit.models.info import described, remember
from prunekit.models.layers import LOOKED_UP
from prunekit.tasks.batch import Batch
from prunekit.tasks.recommendation import RECOMMENDATION
from prunekit.training.recipes import CardRecipe, Say, card_of, descend, warm_cosine
from sample_models import FOLDERS, card, in_folder

TABLES: dict[str, Callable[[], TableData]] = {"diabetes": load_diabetes}
INTERACTIONS = ("clicks", "movielens")
OF_ROWS, RECOMMENDERS = (tuple(name for name in FOLDERS if card(name).get("data") in data) for data in (TABLES, INTERACTIONS))
NAMES = OF_ROWS + RECOMMENDERS


@dataclass(frozen=True)
class TableRecipe(CardRecipe):
    """AdamW under a one-cycle learning rate, mean squared error on standardised targets."""

    said: ClassVar[dict[str, str]] = {"optimizer": "AdamW", "schedule": "OneCycleLR, cosine", "loss": "mean squared error"}

    epochs: int  # epochs, batch_size: passes over the training rows, and rows a step
    batch_size: int
    max_lr: float  # peak of the one-cycle schedule (Smith and Topin, 2018)
    weight_decay: float  # decoupled (Loshchilov and Hutter, 2019)
    seed: int = 0  # seed of the weights, the order of the rows and the dropout


@dataclass(frozen=True)
class InteractionRecipe(CardRecipe):
    """AdamW under a learning rate that rises linearly and falls as a cosine, binary cross-entropy."""

    said: ClassVar[dict[str, str]] = {"optimizer": "AdamW", "schedule": "linear warm-up, cosine", "loss": "binary cross-entropy"}

    epochs: int
    batch_size: int
    max_lr: float  # peak of the learning rate
    warmup: int  # steps in which it rises
    weight_decay: float  # of linear layers
    table_decay: float  # of embedding tables, whose rows are many and rarely seen
    seed: int = 0


def trained(name: str, epochs: int | None = None, say: Say = print) -> tuple[nn.Module, dict[str, Any], float]:
    """Train a sample anew, and return it with its card, but for what it costs, and the minutes that took."""
    return (_of_rows if name in OF_ROWS else _recommender)(name, epochs, say)


def _of_rows(name: str, epochs: int | None, say: Say) -> tuple[nn.Module, dict[str, Any], float]:
    """Train a sample that predicts a number for each row."""
    known = card(name)
    recipe, data = TableRecipe.of(known), TABLES[known["data"]]()
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    build = load_factory(in_folder(name, "model"), ModelError)
    model, minutes = fit_table(build, data.train.rows, data.train.targets, recipe)
    remember(model, described(None, model, build))
    form = {
        "values": data.pixels,
        "input_shape": [len(data.features)],
        "features": list(data.features),
        "mean": [round(value, 6) for value in data.mean],
        "std": [round(value, 6) for value in data.std],
        "target": data.target,
        "target_scale": {key: round(value, 6) if isinstance(value, float) else value for key, value in data.target_scale.items()},
    }
    chosen = "settings by the validation rows, which were not trained on; the last epoch; the test rows only confirm"
    return model, card_of(known, recipe, data, model, form=form, chosen=chosen), minutes


def fit_table(build: Callable[[], nn.Module], rows: Tensor, targets: Tensor, recipe: TableRecipe) -> tuple[nn.Module, float]:
    """Train a new module and return it, in eval mode, with the minutes that took."""
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


def _recommender(name: str, epochs: int | None, say: Say) -> tuple[nn.Module, dict[str, Any], float]:
    """Train a sample that recommends."""
    known, build = card(name), load_factory(in_folder(name, "model"), ModelError)
    recipe, data = InteractionRecipe.of(known), load_data(known["data"])
    recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
    assert isinstance(data.train, InteractionSplit) and data.validation is not None
    model, minutes = fit_interactions(build, data.train, recipe, say)
    remember(model, described(None, model, build))
    chosen = "settings by the validation part, which was not trained on; the last epoch; the test only confirms"
    return model, card_of(known, recipe, data, model, form={"values": data.pixels}, chosen=chosen), minutes


def fit_interactions(
    build: Callable[[], nn.Module], split: InteractionSplit, recipe: InteractionRecipe, say: Say = print
) -> tuple[nn.Module, float]:
    """Train a new module on candidates and return it, in eval mode, with the minutes that took."""
    begin = time.monotonic()
    torch.manual_seed(recipe.seed)
    model = build().train()
    tables = [p for module in model.modules() if isinstance(module, LOOKED_UP) for p in module.parameters()]
    others = [p for p in model.parameters() if all(p is not each for each in tables)]
    groups = [{"params": others, "weight_decay": recipe.weight_decay}, {"params": tables, "weight_decay": recipe.table_decay}]
    optimizer, source = torch.optim.AdamW(groups, recipe.max_lr), torch.Generator().manual_seed(recipe.seed)
    each = len(split) // recipe.batch_size
    for epoch in range(recipe.epochs):
        total, order = 0.0, torch.randperm(len(split), generator=source)[: each * recipe.batch_size]
        for step, places in enumerate(torch.split(order, recipe.batch_size)):
            batch = Batch.of(split.images(places.numpy()), split.targets_at(places.numpy()), len(places))
            loss = RECOMMENDATION.loss(RECOMMENDATION.forward(model, batch), batch)
            rate = warm_cosine(epoch * each + step, recipe.epochs * each, recipe.max_lr, recipe.warmup)
            total += descend(model, optimizer, loss, rate)
        say(f"epoch {epoch + 1} of {recipe.epochs}: training loss {total / each:.4f}, {(time.monotonic() - begin) / 60:.1f} min")
    return model.eval(), (time.monotonic() - begin) / 60
