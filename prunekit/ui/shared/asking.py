"""Answers of the dense model and of a pruned one to a sample or a prompt, computed once for all visitors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from prunekit import pruning
from prunekit.config.spec import PruneSpec
from prunekit.data.text import reader_of
from prunekit.models.running import task_of
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.surgery import shrink
from prunekit.tasks.batches import samples_at
from prunekit.tasks.protocol import Task
from prunekit.tasks.shown import Answer, Continuation, Reader, Shown
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
