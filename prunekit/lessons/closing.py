"""Lesson 11: the smallest network that still closes a name with a colon, cut out of one that writes plays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from prunekit.config.ids import DataId
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.data.text import by_position, shakespeare_text
from prunekit.data.text_splits import WindowSplit
from prunekit.data.tokenisers import Coding
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import model_of, percent
from prunekit.models.info import info
from prunekit.models.meta_copy import copied
from prunekit.pruning.api import prune
from prunekit.statistics.proportions import wilson
from prunekit.tasks.language_modelling import IGNORED

MODEL, HEADS, WIDTH = "shakespeare_gpt", 8, 128
LENGTH, SAMPLES = 48, 200
"""Characters of a window that ends behind a name, and windows that are looked at in each part of the text."""
NAME = re.compile(r"\n\n([A-Z][A-Za-z' ]{1,30}):\n")
QUOTED = re.compile(r"\s('[A-Z][^'\n]{2,60}[.,!?]')\s")
AT_ONCE = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
STEPS = (0.5, 0.75, 0.87, 0.93, 0.96, 0.98, 0.988)
"""Shares of the parameters that are gone: in one cut each; and step by step, with practice after each."""
PRACTICE, BATCH, RATE = 24, 24, 1.5e-3
"""Updates after each step, windows in each, and Adam's learning rate."""

LESSON = lesson("closing")


@dataclass(frozen=True, eq=False)
class Size:
    """A network that was cut out."""

    model: nn.Module
    kept: dict[str, tuple[int, ...]]  # layer to original indices of the outputs that stay
    params: int
    closed: np.ndarray  # for each name of the validation part whether it is closed


@cache
def names() -> Data:
    """Return windows of the plays that end behind a name: what follows is told within it, its colon and its line break."""
    model = model_of({"model": MODEL})
    known = info(model)
    coding = Coding(known.tokeniser, LENGTH, known.vocabulary)
    parts = {name: _windows(texts[0], coding) for name, texts in by_position(shakespeare_text()).items()}
    return Data(DataId("shakespeare"), parts["test"], parts["train"], parts["validation"], task=WindowSplit.task)


def _windows(text: str, coding: Coding) -> WindowSplit:
    """Return so many of the names of a text, evenly chosen."""
    found = [each.span(1) for each in NAME.finditer(text) if each.start(1) > LENGTH]
    chosen = [found[int(i)] for i in np.linspace(0, len(found) - 1, min(SAMPLES, len(found)))]
    rows = np.array([coding.ids(text[end + 1 - LENGTH : end + 2], "a name") for _, end in chosen])
    places = np.arange(LENGTH)[None] - (LENGTH - 2)  # of what follows: 0 is the colon, 1 the line break
    inside = places >= np.array([start + 1 - end for start, end in chosen])[:, None]
    following = np.where(inside, rows[:, 1:], IGNORED)
    n = len(chosen)
    return WindowSplit(torch.from_numpy(rows[:, :-1]), torch.from_numpy(following), np.ones(n, np.int64), np.arange(n), coding)


def closes(model: nn.Module, split: Any) -> Any:
    """Return for each name whether the likeliest character is a colon behind it, and at none of its letters before."""
    colon = int(split.coding.ids(":", "a colon")[0])
    with torch.inference_mode():
        said = torch.cat([model(part).argmax(-1) for part in split.ids.split(100)]) == colon
    at = split.following == colon
    letters = (split.following != IGNORED) & ~at
    letters[:, -1] = False  # the line break behind the colon
    return ((said & at).any(1) & ~(said & letters).any(1)).numpy()


def answer(least: int, repair: str, *, progress: Progress = QUIET) -> Answer:
    """Cut ever smaller networks out by what the names need, and find the smallest that still closes as many as asked for."""
    data, dense = names(), model_of({"model": MODEL})
    params = sum(each.numel() for each in dense.parameters())
    sizes = [Size(dense, {}, params, closes(dense, data.validation))]
    steps = STEPS if repair == "practice" else AT_ONCE
    making = _practised(dense, params, data) if repair == "practice" else _cut(dense, data)
    for number, found in enumerate(making, 1):
        progress.check()
        progress(number / (len(steps) + 1), f"{percent(1 - found.params / params)} of the network is gone")
        sizes.append(found)
    frame = _frame(sizes)
    held = [i for i, row in enumerate(frame.closed) if 100 * row >= least]
    best = sizes[max(held, default=0)]
    share, tested = 1 - best.params / params, [float(closes(net, data.test).mean()) for net in (dense, best.model)]
    closed, asked = quotes(dense)
    numbers = {"share": share, "params": params, "left": best.params, "names": len(sizes[0].closed), "dense": frame.closed[0]}
    numbers |= {
        "at": frame.closed[max(held, default=0)],
        "test_dense": tested[0],
        "test": tested[1],
        "quotes": closed,
        "quoted": asked,
        "least": least / 100,
    }
    shown = f"{percent(share)} can go" if held else "nothing can go"
    settings = {"model": MODEL, "mode": "structured", "criterion": "taylor", "target": "params", "sparsity": round(min(share, 0.9), 2)}
    frames = {"curve": frame, "widths": _widths(dense, best), "strip": _strip(best)}
    return Answer(100 * share, shown, _conclusion(numbers, least, repair), frames, numbers, settings, LESSON.guess)


def _cut(dense: nn.Module, data: Data) -> Iterator[Size]:
    """Yield networks of several sizes, each cut at once and left as it is."""
    for share in AT_ONCE:
        yield _smaller(dense, {}, share, data)


def _smaller(model: nn.Module, before: dict[str, tuple[int, ...]], share: float, data: Data) -> Size:
    """Cut a share of the parameters out of a network, by what the names need, and name the kept parameters of the dense one."""
    spec = PruneSpec(mode="structured", criterion="taylor", target="params", sparsity=share, samples=64)
    found = prune(model, spec, data=data)
    assert found.kept is not None
    kept = {name: tuple(before[name][i] for i in stay) if name in before else stay for name, stay in found.kept.items()}
    return Size(found.model, kept, sum(each.numel() for each in found.model.parameters()), closes(found.model, data.validation))


def _practised(dense: nn.Module, params: int, data: Data) -> Iterator[Size]:
    """Yield ever smaller networks, each cut out of the one before and trained for a moment on names of the training part."""
    now = Size(dense, {}, params, np.zeros(0))
    for number, share in enumerate(STEPS):
        cut = _smaller(now.model, now.kept, 1 - (1 - share) * params / now.params, data)
        model = practised(cut.model, data.train, seed=number)
        now = Size(model, cut.kept, cut.params, closes(model, data.validation))
        yield now


def practised(model: nn.Module, split: Any, seed: int) -> nn.Module:
    """Return a copy that was trained on names for a moment."""
    with torch.inference_mode(False):
        small, source = copied(model).train().requires_grad_(True), torch.Generator().manual_seed(seed)
        optimiser = torch.optim.Adam(small.parameters(), RATE)
        torch.manual_seed(seed)  # dropout
        for _ in range(PRACTICE):
            chosen = torch.randint(len(split), (BATCH,), generator=source)
            scores = small(split.ids[chosen]).flatten(0, 1)
            loss = functional.cross_entropy(scores, split.following[chosen].flatten(), ignore_index=IGNORED)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return small.eval().requires_grad_(False)


@cache
def quotes_in_text() -> list[str]:
    """Return the text before the closing mark of each passage that stands in single quotation marks."""
    text = shakespeare_text()
    return [text[max(0, each.end(1) - 1 - 128) : each.end(1) - 1] for each in QUOTED.finditer(text)]


def quotes(model: nn.Module) -> tuple[int, int]:
    """Return how many passages in single quotation marks a network closes, of how many."""
    tokeniser = info(model).tokeniser
    mark, closed = tokeniser.encode("'")[0], 0
    with torch.inference_mode():
        for before in quotes_in_text():
            closed += int(model(torch.tensor([tokeniser.encode(before)]))[0, -1].argmax()) == mark
    return closed, len(quotes_in_text())


def _frame(sizes: list[Size]) -> pd.DataFrame:
    """Return how many names each size closes, with intervals."""
    rows = []
    for each in sizes:
        low, high = wilson(int(each.closed.sum()), len(each.closed))
        rows.append((1 - each.params / sizes[0].params, each.params, float(each.closed.mean()), low, high))
    return pd.DataFrame(rows, columns=["share", "params", "closed", "low", "high"])


def _widths(dense: nn.Module, best: Size) -> pd.DataFrame:
    """Return how wide the stream and the inside of each layer's two linear layers are, before and after."""
    small = dict(best.model.named_parameters())
    rows = [("stream", "tokens.weight", 1), *((f"inside layer {row + 1}", f"blocks.{row}.up.weight", 0) for row in range(5))]
    before = dict(dense.named_parameters())
    return pd.DataFrame([(name, before[weight].shape[axis], small[weight].shape[axis]) for name, weight, axis in rows],
                        columns=["name", "before", "after"])  # fmt: skip


def _strip(best: Size) -> pd.DataFrame:
    """Return which heads of each layer stay."""
    rows = []
    for layer in range(5):
        stay = best.kept.get(f"blocks.{layer}.attention.value", tuple(range(WIDTH)))
        left = {place // (WIDTH // HEADS) for place in stay}
        rows += [(layer, head, head in left) for head in range(HEADS)]
    return pd.DataFrame(rows, columns=["layer", "head", "kept"])


def _conclusion(numbers: dict[str, float], least: int, repair: str) -> tuple[str, str]:
    """Return the point of the lesson."""
    first = f"The whole network closes {percent(numbers['dense'])} of {numbers['names']:.0f} names exactly"
    if not numbers["share"]:
        first += f", and every smaller one that was tried fewer than {least} %."
    else:
        first += f". {percent(1 - numbers['share'])} of it, {numbers['left']:,.0f} of {numbers['params']:,.0f} parameters, still closes "
        first += f"{percent(numbers['at'])}; on the test part, which had no say in it, {percent(numbers['test'])} (the whole "
        first += f"network {percent(numbers['test_dense'])})."
    second = "Pruning alone finds what a behaviour uses, and that hangs together with all else; practised after every cut, the little that "
    second += "it needs is enough." if repair == "practice" else "it needs is far less: try it with practice after every cut."
    second += (
        f" Of {numbers['quoted']:.0f} passages in quotation marks this network closes {numbers['quotes']:.0f}: only what is there can "
    )
    second += "be kept."
    return first, second
