"""Training of samples on windows of pictures with a class for each pixel: drawn in many scales, over cycles of growing windows."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from prunekit.data.annotated import MaskSplit
from prunekit.tasks.segmentation import IGNORED, SEGMENTATION
from prunekit.training.recipes import CardRecipe, Say, descend, warm_cosine, weights_decay

LEAST = 0.01
"""Share of the learning rate that a cycle ends at."""
STRETCH, TURN = 0.1, 0.07
"""How far windows are stretched (as a logarithm) and turned (in radians), at most."""
BELOW = 0.7
"""Windows of a smaller scale are read from pictures of half the size, so that nothing between their pixels is skipped."""


@dataclass(frozen=True)
class Window:
    """So many steps on windows of ``side`` pixels; ``scale`` is the least and the largest by which pictures are enlarged."""

    steps: int
    side: int
    scale: tuple[float, float]


@dataclass(frozen=True)
class Cycle:
    """A rise and fall of the learning rate, from the averaged weights of the cycle before."""

    max_lr: float
    windows: tuple[Window, ...]  # one kind after another
    brightness: float  # brightness, contrast: shares by which they differ at most
    contrast: float

    @property
    def steps(self) -> int:
        """Steps in all."""
        return sum(window.steps for window in self.windows)


@dataclass(frozen=True)
class WindowRecipe(CardRecipe):
    """AdamW over cycles of windows; cross-entropy, a class weighted by 1 / ln(1.08 + its share of pixels); weights are averaged."""

    cycles: tuple[Cycle, ...]
    batch_size: int
    weight_decay: float
    warmup: int
    average: float
    clip: float
    seed: int = 0

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> WindowRecipe:
        """Return the recipe on a card."""
        known = {name: value for name, value in told["recipe"].items() if name in cls.__dataclass_fields__}
        cycles = [
            Cycle(**{**each, "windows": tuple(Window(**{**own, "scale": tuple(own["scale"])}) for own in each["windows"])})
            for each in known["cycles"]
        ]
        return cls(**{**known, "cycles": tuple(cycles), "seed": told["seed"]})

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for the card."""
        plain = asdict(self)
        plain["cycles"] = [
            {**each, "windows": [{**own, "scale": list(own["scale"])} for own in each["windows"]]} for each in plain["cycles"]
        ]
        how = {"optimizer": "AdamW", "schedule": "linear warm-up and cosine in each cycle", "flip": True, "shift": 0}
        return {**how, "loss": "cross-entropy, a class weighted by 1 / ln(1.08 + its share of pixels)", **plain}

    def over(self, epochs: int, pictures: int) -> WindowRecipe:
        """Return the recipe over so many passes, each kind of window with its share of the steps."""
        share = epochs * pictures / self.batch_size / sum(cycle.steps for cycle in self.cycles)
        shorter = [
            replace(cycle, windows=tuple(replace(each, steps=max(1, round(share * each.steps))) for each in cycle.windows))
            for cycle in self.cycles
        ]
        return replace(self, cycles=tuple(shorter))


def fit_windows(
    build: Callable[[], nn.Module],
    split: MaskSplit,
    classes: int,
    recipe: WindowRecipe,
    *,
    checkpoint: Path | None = None,
    say: Say = print,
) -> tuple[nn.Module, float]:
    """Train a new module on windows of pictures and return it, in eval mode, with the minutes that took."""
    begin, spent, first = time.monotonic(), 0.0, 0
    torch.manual_seed(recipe.seed)
    averaged = build()
    if checkpoint is not None and checkpoint.is_file():
        held = torch.load(checkpoint, weights_only=True)
        averaged.load_state_dict(held["model"])
        first, spent = held["cycle"], held["minutes"]
    pictures, labels = split.pictures.pixels(split.places), split.targets_at(torch.arange(len(split)).numpy())
    share = torch.bincount(labels[labels != IGNORED].long().flatten(), minlength=classes).double()
    weight = (1 / torch.log(1.08 + share / share.sum())).float()
    for number, cycle in list(enumerate(recipe.cycles))[first:]:
        source = torch.Generator().manual_seed(recipe.seed + number)
        model = copy.deepcopy(averaged).train()
        optimizer, total = torch.optim.AdamW(weights_decay(model, recipe.weight_decay), cycle.max_lr), 0.0
        for step, (window, places) in enumerate(_drawn(cycle, len(split), recipe.batch_size, source)):
            x, y = varied_windows(pictures[places], labels[places], window, cycle, source)
            scores = SEGMENTATION.tensors(model(split.normal.apply(x)))
            loss = F.cross_entropy(next(iter(scores.values())), y, weight / weight.mean(), ignore_index=IGNORED)
            total += descend(model, optimizer, loss, warm_cosine(step, cycle.steps, cycle.max_lr, recipe.warmup, LEAST), recipe.clip)
            _average(averaged, model, min(recipe.average, (step + 2) / (step + 21)))
            if (step + 1) % 100 == 0 or step + 1 == cycle.steps:
                done = f"cycle {number + 1} of {len(recipe.cycles)}, step {step + 1} of {cycle.steps}"
                say(f"{done}: training loss {total / (step + 1):.3f}, {spent + (time.monotonic() - begin) / 60:.1f} min")
        if checkpoint is not None:
            minutes = spent + (time.monotonic() - begin) / 60
            torch.save({"model": averaged.state_dict(), "cycle": number + 1, "minutes": minutes}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
    return averaged.eval(), spent + (time.monotonic() - begin) / 60


def varied_windows(pictures: Tensor, labels: Tensor, window: Window, cycle: Cycle, source: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return a window of each picture, values 0 to 1 [n, 3, side, side], and the classes of its pixels, int64 [n, side, side]."""
    n, (height, width) = len(pictures), pictures.shape[-2:]

    def between(low: float, high: float) -> Tensor:
        return torch.rand(n, generator=source) * (high - low) + low

    def about_one(most: float) -> Tensor:
        return between(1 - most, 1 + most).view(n, 1, 1, 1)

    low, high = window.scale
    scale, stretch = between(math.log(low), math.log(high)).exp(), between(-STRETCH, STRETCH).exp()
    down, across = window.side / scale / height * stretch, window.side / scale / width / stretch  # shares of the picture's sides
    at = torch.zeros(n, 2, 3)
    at[:, 1, 2], at[:, 0, 2] = between(-1, 1) * (1 - down).clamp_min(0), between(-1, 1) * (1 - across).clamp_min(0)
    mirrored, turned = torch.where(between(0, 1) < 0.5, -1.0, 1.0), between(-TURN, TURN)
    at[:, 0, 0], at[:, 1, 1], at[:, 0, 1], at[:, 1, 0] = across * mirrored, down, turned * across, -turned * down
    grid = F.affine_grid(at, [n, 1, window.side, window.side], align_corners=False)
    x = pictures.float() / 255
    fine, coarse = (F.grid_sample(each, grid, align_corners=False, padding_mode="reflection") for each in (x, F.avg_pool2d(x, 2)))
    x = torch.where((scale < BELOW).view(n, 1, 1, 1), coarse, fine)
    known = torch.where(labels == IGNORED, 0, labels.long() + 1)[:, None].float()  # what lies outside of the picture reads as 0
    y = F.grid_sample(known, grid, mode="nearest", align_corners=False)[:, 0].long() - 1
    x = x * about_one(cycle.brightness)
    middle = x.mean((1, 2, 3), keepdim=True)
    x = (x - middle) * about_one(cycle.contrast) + middle
    grey = x.mean(1, keepdim=True)
    x = (x - grey) * about_one(0.4) + grey
    x = x * (torch.rand(n, 3, 1, 1, generator=source) * 0.16 + 0.92)
    return x.clamp(0, 1), torch.where(y < 0, IGNORED, y)


def _drawn(cycle: Cycle, pictures: int, batch_size: int, source: torch.Generator) -> Iterator[tuple[Window, Tensor]]:
    """Yield the window of each step, and which pictures: all of them before any a second time."""
    order = torch.empty(0, dtype=torch.long)
    for window in cycle.windows:
        for _ in range(window.steps):
            if len(order) < batch_size:
                order = torch.randperm(pictures, generator=source)
            yield window, order[:batch_size]
            order = order[batch_size:]


def _average(averaged: nn.Module, model: nn.Module, kept: float) -> None:
    """Move averaged weights and statistics towards those of now."""
    with torch.no_grad():
        for mean, now in zip(averaged.state_dict().values(), model.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(now, 1 - kept)
            else:
                mean.copy_(now)
