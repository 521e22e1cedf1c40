"""Lesson 10: switch a head off, or a whole layer, and see what a language model says next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache

import pandas as pd
import torch
from torch import nn

from prunekit.data.load import load_data
from prunekit.data.text import reader_of
from prunekit.data.text_splits import WindowSplit
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import Evaluation
from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import model_of, plural, small
from prunekit.models.info import info
from prunekit.models.meta_copy import copied
from prunekit.tasks.language_modelling import LANGUAGE
from prunekit.tasks.shown import Bars, Reader

MODEL, LAYERS, HEADS = "shakespeare_gpt", 5, 8
WINDOWS, FEWER, SHOWN = 12, 3, 8
"""Windows of validation text on which perplexity is read at every click; for each head alone; and bars that are drawn."""

LESSON = lesson("heads")


@lru_cache(maxsize=1)
def ground() -> tuple[nn.Module, WindowSplit, Reader]:
    """Return the dense model, the windows, and how text is read: shared, never written to."""
    model = model_of({"model": MODEL})
    data = load_data("shakespeare", model=model)
    assert isinstance(data.validation, WindowSplit)
    return model, data.validation.subset(WINDOWS), reader_of(info(model), data)


@lru_cache(maxsize=4)
def _switched(off: tuple[int, ...]) -> nn.Module:
    """Return the lesson's model with some heads and layers off, which perplexity and the next token ask for; never written to."""
    return switched_off(ground()[0], off)


def switched_off(model: nn.Module, off: Sequence[int]) -> nn.Module:
    """Return a copy in which some heads add nothing to the stream, by their numbers row by row, and behind them whole layers."""
    small = copied(model)
    with torch.no_grad():
        for place in off:
            whole = place >= LAYERS * HEADS
            row, head = (place - LAYERS * HEADS, 0) if whole else divmod(place, HEADS)
            out = small.get_parameter(f"blocks.{row}.attention.out.weight")
            width = out.shape[1] // HEADS
            if whole:
                for name in ("attention.out.weight", "attention.out.bias", "down.weight", "down.bias"):
                    small.get_parameter(f"blocks.{row}.{name}").zero_()
            else:
                out[:, head * width : (head + 1) * width] = 0
    return small


@lru_cache(maxsize=64)
def perplexity(off: tuple[int, ...]) -> Evaluation:
    """Return the perplexity with some heads and layers off."""
    return evaluate(_switched(off), ground()[1])


@lru_cache(maxsize=1)
def alone() -> pd.DataFrame:
    """Return perplexity with each head alone off, on a few windows, as a factor of the dense model's."""
    model, split, _ = ground()
    own, few = copied(model), split.subset(FEWER)
    dense, rows = evaluate(own, few).value, []
    for place in range(LAYERS * HEADS):
        with _without(own, place):
            rows.append((*divmod(place, HEADS), evaluate(own, few).value / dense))
    return pd.DataFrame(rows, columns=["layer", "head", "score"])


@contextmanager
def _without(model: nn.Module, place: int) -> Iterator[None]:
    """Switch one head off meanwhile, in a model of one's own: forty copies take longer than what they are for."""
    row, head = divmod(place, HEADS)
    weight = model.get_parameter(f"blocks.{row}.attention.out.weight").data
    width = weight.shape[1] // HEADS
    part = weight[:, head * width : (head + 1) * width]
    before = part.clone()
    part.zero_()
    yield
    part.copy_(before)


def answer(off: Sequence[int], text: str) -> Answer:
    """Switch heads and layers off, read perplexity, and ask both what comes next; beside it, what each layer alone is worth."""
    off, dense = tuple(off), perplexity(())
    now, (model, _, reader) = perplexity(off), ground()
    batch, _ = LANGUAGE.read(text, reader)
    bars = [_next(net, batch, reader) for net in (model, _switched(off))]
    first = bars[0].first(bars[1], most=SHOWN)
    said = pd.DataFrame({"token": [bars[0].name(k) for k in first], **{name: each.shares[first] for name, each in zip(
        ("dense", "now"), bars, strict=True)}})  # fmt: skip
    layers = {row: perplexity((LAYERS * HEADS + row,)) for row in range(LAYERS)}
    worst = max(layers, key=lambda row: layers[row].value)
    gone = {place for place in off if place < LAYERS * HEADS} | {
        row * HEADS + head for row in range(LAYERS) if LAYERS * HEADS + row in off for head in range(HEADS)
    }
    named = {"as switched": now} | {f"without layer {row + 1}": each for row, each in layers.items()}
    strip = alone().assign(kept=[place not in gone for place in range(LAYERS * HEADS)])
    frame = pd.DataFrame(
        [(name, each.value, each.low, each.high) for name, each in named.items()], columns=["name", "value", "low", "high"]
    )
    numbers = {"dense": dense.value, "now": now.value, "low": now.low, "high": now.high, "windows": now.n, "heads_off": len(gone)}
    numbers |= {"worst": layers[worst].value, "apart": float(abs(bars[0].shares - bars[1].shares).sum() / 2)}
    settings = {"model": MODEL, "mode": "structured", "units": ("heads",), "sparsity": 0.2, "prompt": text}
    value, shown = LESSON.guess.options[worst], f"without layer {worst + 1} perplexity rises most, to {layers[worst].text()}"
    frames = {"bars": said, "strip": strip, "layers": frame}
    return Answer(value, shown, _conclusion(layers, worst, off, (dense, now), bars), frames, numbers, settings, LESSON.guess)


def _next(model: nn.Module, batch: object, reader: Reader) -> Bars:
    """Return what a model thinks comes next."""
    with torch.inference_mode():
        return LANGUAGE.answer(LANGUAGE.forward(model, batch), batch, reader)  # type: ignore[arg-type]


def _conclusion(
    layers: dict[int, Evaluation], worst: int, off: tuple[int, ...], read: tuple[Evaluation, Evaluation], bars: list[Bars]
) -> tuple[str, str]:
    """Return the point of the lesson."""
    dense, now = read
    least = min(layers, key=lambda row: layers[row].value)
    first = f"Perplexity is how many characters the network hesitates between, {dense.text()} as it is. Without layer {worst + 1} it is "
    first += f"{layers[worst].text()}, without layer {least + 1} only {layers[least].text()}: layers are far from equally important."
    if not off:
        return first, "Switch single heads off: the bars show what the network says next to your text, and what it said before."
    single = sum(place < LAYERS * HEADS for place in off)
    parts = [plural(single, "head") if single else "", plural(len(off) - single, "layer") if len(off) > single else ""]
    by = compare(dense, now)
    sure = f"p {small(by.p_value)}" if by.significant else f"not significant on {now.n} windows"
    same = "still says" if bars[0].best == bars[1].best else f"now says “{bars[1].said}” in place of"
    second = f"With {' and '.join(filter(None, parts))} off it is {now.text()} ({now.low:.2f} to {now.high:.2f}; {sure}), and the network "
    return first, second + f"{same} “{bars[0].said}” next."
