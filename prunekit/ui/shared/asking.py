"""Answers of the dense model and of a pruned one to a sample, a prompt or some test samples, computed once for all visitors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from prunekit import evaluation, pruning
from prunekit.config.spec import PruneSpec
from prunekit.data.text import reader_of
from prunekit.models.running import task_of
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.surgery import shrink
from prunekit.tasks.batches import batches_of, samples_at
from prunekit.tasks.protocol import Task
from prunekit.tasks.shown import Answer, Bars, Continuation, Reader, Shown
from prunekit.ui.shared import data_cache, model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Images, Loaded, Source

TOKENS = 48
"""How far a model goes on from a text."""


@dataclass(frozen=True)
class Question:
    """What a model is asked, small enough for a cache key."""

    text: str = ""  # typed; empty for a test sample
    # its number in the test split: that of a user, where several samples share an answer (`prunekit.tasks.protocol.Task.places`)
    sample: int = 0
    goes_on: bool = False  # whether the model also goes on from the text
    seed: int | None = None  # by which tokens are drawn; None for the likeliest


@dataclass(frozen=True, eq=False)
class Said:
    """What was answered."""

    answer: Answer
    continuation: Continuation | None
    note: str  # what was done to the text; "" for nothing


@shared(16)
def reader(source: Source, images: Images) -> Reader:
    """Return what turns text into samples of a model, and outputs into words."""
    return reader_of(model_cache.load(source).info, data_cache.data_at(images, source))


@shared(16)
def task_here(source: Source, images: Images) -> Task:
    """Return what the model does, with the class scores among its outputs found."""
    return task_of(model_cache.load(source).model, data_cache.data_at(images, source))


def sample(loaded: Loaded, images: Images, place: int) -> Shown | None:
    """Return a test sample as people see it, the last where there are fewer; None where there are none, or nobody knows how."""
    data = data_cache.data_at(images, loaded.source)
    if data is None:
        return None
    return task_here(loaded.source, images).shown(data.test, min(place, len(data.test) - 1), reader(loaded.source, images).classes)


@shared(64)
def dense(source: Source, images: Images, question: Question) -> Said | None:
    """Return what the dense model says; None where nobody knows how to show it."""
    return _asked(model_cache.load(source).model, source, images, question)


@shared(64)
def pruned(source: Source, spec: PruneSpec, images: Images, question: Question, _view: View) -> Said | None:
    """Return what a cut of the model says: zeros in place, or the smaller model."""
    model = model_cache.load(source).model
    if isinstance(_view.cut, Plan):
        return _asked(shrink(model, _view.cut), source, images, question)
    assert not isinstance(_view.ranking, pruning.ChannelRanking)
    return _asked(pruning.masked_copy(model, _view.ranking.masks(_view.cut)), source, images, question)


def _asked(model: nn.Module, source: Source, images: Images, question: Question) -> Said | None:
    """Ask a model or a cut of it about a text or about a sample of its test data."""
    data = data_cache.data_at(images, source)
    return ask(model, question, task=task_here(source, images), known=reader(source, images), part=None if data is None else data.test)


def ask(model: nn.Module, question: Question, *, task: Task, known: Reader, part: Any = None) -> Said | None:
    """Ask a model in evaluation mode about a text, or about a sample of some data; None where nobody knows how to show the answer."""
    note = ""
    if question.text:
        batch, note = task.read(question.text, known)
    else:
        batch = samples_at(part, task.places(part, question.sample))
    with torch.inference_mode():
        answer = task.answer(task.forward(model, batch), batch, known)
    if answer is None:
        return None
    written = task.go_on(model, question.text, known, tokens=TOKENS, seed=question.seed) if question.goes_on else None
    return Said(answer, written, note)


Picture = NDArray[np.uint8]


def enlarge(picture: Picture, side: int) -> Picture:
    """Return a picture scaled up by a whole number to about ``side`` pixels, every pixel sharp."""
    times = max(1, side // max(picture.shape[0], 1))
    grown = np.repeat(np.repeat(picture, times, 0), times, 1)
    return np.repeat(grown, 3, 2) if grown.shape[2] == 1 else grown


@dataclass(frozen=True)
class Guess:
    """One picture and what the model says."""

    picture: Picture  # for the screen
    truth: str  # truth, said: names of the classes
    said: str
    confidence: float  # Softmax probability of what was said

    @property
    def right(self) -> bool:
        """Whether the model is right."""
        return self.truth == self.said


def spread(places: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return so many places, from the first to the last."""
    return np.take(places, np.linspace(0, len(places) - 1, min(most, len(places))).astype(int))


@shared(32)
def guesses(source: Source, images: Images, how_many: int = 24) -> list[Guess]:
    """Return test pictures with the dense model's predictions, a quarter of them hard ones where there are any.

    Looks at 256 test samples from first to last, for folders of pictures are sorted by class: some that it gets wrong are among them,
    so that a good model still shows a mistake.
    """
    loaded = model_cache.load(source)
    everything = data_cache.data_at(images, source)
    if everything is None:
        return []
    split = everything.test
    places = spread(np.arange(len(split)), 256)
    said = evaluation.predict(loaded.model, split.images(places))
    wrong = spread(places[said.classes != split.labels[places]], how_many // 4)
    chosen = np.sort(np.concatenate([wrong, spread(np.setdiff1d(places, wrong), how_many - len(wrong))]))
    order = np.searchsorted(places, chosen)
    names = everything.classes or loaded.info.classes
    return [
        Guess(enlarge(split.picture(int(i)), 64), _name(names, split.labels[i]), _name(names, said.classes[k]), float(said.confidences[k]))
        for i, k in zip(chosen, order, strict=True)
    ]


@shared(32)
def found(source: Source, images: Images, how_many: int = 8) -> list[tuple[Shown, Answer]]:
    """Return test pictures with what the dense model finds in them."""
    everything = data_cache.data_at(images, source)
    assert everything is not None
    places = map(int, spread(np.arange(len(everything.test)), how_many))
    pairs = ((sample(model_cache.load(source), images, i), dense(source, images, Question(sample=i))) for i in places)
    return [(shown, said.answer) for shown, said in pairs if shown is not None and said is not None]


@shared(32)
def answers(source: Source, images: Images, how_many: int = 8) -> pd.DataFrame:
    """Return what the task observes of the first test samples, one a row, behind what can be shown of sample and answer."""
    loaded, everything = model_cache.load(source), data_cache.data_at(images, source)
    assert everything is not None
    task, batch = task_here(source, images), next(batches_of(everything.test, how_many))
    with torch.inference_mode():
        seen = task.readable(task.observe(task.forward(loaded.model, batch), batch))
    frame, rows = pd.DataFrame(np.asarray(seen), columns=list(seen.columns)), []
    for place in range(batch.samples):
        shown, said = task.shown(everything.test, place), dense(source, images, Question(sample=place))
        if said is not None and isinstance(said.answer, Bars):
            told = {said.answer.what.lower(): said.answer.said, "sure, %": 100 * float(said.answer.shares.max())}
            named = {name: said.answer.name(int(frame.at[place, name])) for name in ("label",) if name in frame}
            rows.append(({"text": shown.text} if shown is not None and shown.text else {}) | told | named)
    words = pd.DataFrame(rows, index=frame.index if rows else None)
    return pd.concat([words, frame.drop(columns=[name for name in ("label", "predicted") if rows and name in frame])], axis=1)


def _name(names: tuple[str, ...], index: int) -> str:
    """Return a class by name, or by number where it has none."""
    return names[index] if index < len(names) else str(index)
