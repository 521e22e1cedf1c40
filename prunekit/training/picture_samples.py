"""Training of the samples of annotated pictures: by the recipe on their card, on data by name."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn

from prunekit.data.annotated import MaskSplit
from prunekit.data.load import load_data
from prunekit.errors import ModelError
from prunekit.local_code.factories import load_factory
from prunekit.models.info import described, remember
from prunekit.tasks.batch import Batch
from prunekit.tasks.protocol import Task
from prunekit.tasks.resolver import resolve
from prunekit.training.recipes import CardRecipe, Say, card_of, descend, warm_cosine, weights_decay
from prunekit.training.window_samples import WindowRecipe, fit_windows
from sample_models import FOLDERS, card, in_folder

DATA = ("canvas", "canvas:masks", "camvid")
NAMES = tuple(name for name in FOLDERS if card(name).get("data") in DATA)
VISIBLE = 0.5
"""Share of a box that must be left in the picture for its object to count."""


@dataclass(frozen=True)
class PictureRecipe(CardRecipe):
    """AdamW under a learning rate that rises linearly and falls as a cosine."""

    said: ClassVar[dict[str, str]] = {"optimizer": "AdamW", "schedule": "linear warm-up, cosine"}

    epochs: int
    batch_size: int = 32
    max_lr: float = 2e-3  # peak of the learning rate
    warmup: int = 200  # steps in which it rises
    weight_decay: float = 0.05  # of weights; biases and norms do not decay
    clip: float = 10.0  # largest norm of the gradient
    shift: int = 0  # pictures move up to so many pixels, drawn anew each time; the border is repeated
    colours: bool = False  # channels change places, and half of the pictures become their negative
    seed: int = 0


def trained(
    name: str, epochs: int | None = None, checkpoint: Path | None = None, say: Say = print
) -> tuple[nn.Module, dict[str, Any], float]:
    """Train a sample anew, and return it with its card, but for what it costs, and the minutes that took."""
    known, build = card(name), load_factory(in_folder(name, "model"), ModelError)
    data = load_data(known["data"], model=remember(empty := build(), described(None, empty, build)))
    assert data.train is not None
    recipe: PictureRecipe | WindowRecipe
    if "cycles" in known["recipe"]:
        recipe = WindowRecipe.of(known)
        recipe = recipe if epochs is None else recipe.over(epochs, len(data.train))
        model, minutes = fit_windows(build, cast(MaskSplit, data.train), len(data.classes), recipe, checkpoint=checkpoint, say=say)
    else:
        recipe = PictureRecipe.of(known)
        recipe = recipe if epochs is None else replace(recipe, epochs=epochs)
        model, minutes = fit_pictures(build, data.train, resolve(empty, data), recipe, checkpoint=checkpoint, say=say)
    remember(model, described(None, model, build))
    form = {"pixels": data.pixels, **{key: known[key] for key in ("input_shape", "mean", "std")}, "classes": list(data.classes)}
    chosen = "the last epoch; settings by the validation pictures, which were not trained on; the test only confirms"
    return model, card_of(known, recipe, data, model, form=form, chosen=chosen), minutes


def fit_pictures(
    build: Callable[[], nn.Module],
    split: Any,
    task: Task,
    recipe: PictureRecipe,
    *,
    checkpoint: Path | None = None,
    say: Say = print,
) -> tuple[nn.Module, float]:
    """Train a new module on annotated pictures and return it, in eval mode, with the minutes that took."""
    begin, spent, first = time.monotonic(), 0.0, 0
    torch.manual_seed(recipe.seed)
    model = build().train()
    optimizer = torch.optim.AdamW(weights_decay(model, recipe.weight_decay), recipe.max_lr)
    if checkpoint is not None and checkpoint.is_file():
        held = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(held["model"])
        optimizer.load_state_dict(held["optimizer"])
        first, spent = held["epoch"], held["minutes"]
    each = len(split) // recipe.batch_size
    for epoch in range(first, recipe.epochs):
        source, total = torch.Generator().manual_seed(recipe.seed * 100_000 + epoch), 0.0
        order = torch.randperm(len(split), generator=source)[: each * recipe.batch_size]
        for step, places in enumerate(torch.split(order, recipe.batch_size)):
            pictures, targets = varied(split.images(places.numpy()), split.targets_at(places.numpy()), recipe, source)
            batch = Batch.of(pictures, targets)
            value = task.loss(task.forward(model, batch), batch)
            rate = warm_cosine(epoch * each + step, recipe.epochs * each, recipe.max_lr, recipe.warmup)
            total += descend(model, optimizer, value, rate, recipe.clip)
        minutes = spent + (time.monotonic() - begin) / 60
        say(f"epoch {epoch + 1} of {recipe.epochs}: training loss {total / each:.3f}, {minutes:.1f} min")
        if checkpoint is not None:
            kept = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch + 1, "minutes": minutes}
            torch.save(kept, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    return model.eval(), spent + (time.monotonic() - begin) / 60


def varied(pictures: Tensor, targets: Any, recipe: PictureRecipe, source: torch.Generator) -> tuple[Tensor, Any]:
    """Return normalised pictures [n, C, H, W] with other colours, each moved by its own way, with boxes or classes of pixels."""
    n, channels, height, width = pictures.shape
    if recipe.colours:
        sign = 1 - 2 * torch.randint(0, 2, (n, 1, 1, 1), generator=source)
        chosen = torch.rand(n, channels, generator=source).argsort(1)
        pictures = pictures[torch.arange(n)[:, None], chosen] * sign
    if not recipe.shift:
        return pictures, targets
    x, y = torch.randint(-recipe.shift, recipe.shift + 1, (2, n), generator=source)
    rows = (torch.arange(height) - y[:, None]).clamp(0, height - 1)
    columns = (torch.arange(width) - x[:, None]).clamp(0, width - 1)
    at = torch.arange(n)[:, None, None]
    pictures = pictures.permute(0, 2, 3, 1)[at, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()
    if isinstance(targets, Tensor):
        return pictures, targets[at, rows[:, :, None], columns[:, None, :]]
    moved = []
    for target, move in zip(targets, torch.stack([x, y, x, y], 1), strict=True):
        whole = target["boxes"] + move
        boxes = torch.stack([whole[:, 0::2].clamp(0, width), whole[:, 1::2].clamp(0, height)], 2).flatten(1)
        sides, left = whole[:, 2:] - whole[:, :2], boxes[:, 2:] - boxes[:, :2]
        there = left.prod(1) >= VISIBLE * sides.prod(1)
        moved.append({"boxes": boxes[there], "labels": target["labels"][there]})
    return pictures, moved
