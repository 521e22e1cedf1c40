"""Language modelling and text classification: figures beside an oracle, padding, ids in range."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from prunekit.errors import DataError, ModelError
from prunekit.tasks.base import PLAIN
from prunekit.tasks.batch import Batch
from prunekit.tasks.language_modelling import BITS, IGNORED, LANGUAGE, PERPLEXITY
from prunekit.tasks.observations import Observations
from prunekit.tasks.registry import task

WORDS = 7


def windows(n: int = 6, length: int = 5, filled: int = 2) -> tuple[torch.Tensor, Batch]:
    """Return scores, and windows of which the last ends early."""
    source = torch.Generator().manual_seed(0)
    following = torch.randint(0, WORDS, (n, length), generator=source)
    following[-1, -filled:] = IGNORED
    told = {"next": following, "characters": torch.arange(n) + 10, "document": torch.arange(n) // 2}
    return torch.randn(n, length, WORDS, generator=source), Batch.of(torch.zeros(n, length, dtype=torch.int64), told)


def test_perplexity_and_bits_are_those_of_all_tokens_but_what_fills_up() -> None:
    scores, batch = windows()
    seen, following = LANGUAGE.observe(scores, batch), batch.targets["next"]
    there = following != IGNORED
    each = -scores.log_softmax(2)[there].gather(1, following[there][:, None])
    assert seen["tokens"].tolist() == [5, 5, 5, 5, 5, 3]
    assert PERPLEXITY.reduce(seen) == pytest.approx(math.exp(float(each.mean())), rel=1e-6)
    assert BITS.reduce(seen) == pytest.approx(float(each.sum()) / math.log(2) / sum(range(10, 16)), rel=1e-6)
    assert float(LANGUAGE.loss(scores, batch)) == pytest.approx(float(each.mean()), rel=1e-6)
    halves = LANGUAGE.observe({"past": torch.zeros(2, 3), "logits": scores.bfloat16()}, batch)
    assert PERPLEXITY.reduce(halves) == pytest.approx(PERPLEXITY.reduce(seen), rel=1e-2)


def test_intervals_and_comparisons_resample_documents() -> None:
    source = np.random.default_rng(0)
    of, nll = np.repeat(np.arange(20), 8), np.repeat(source.normal(40, 4, 20), 8)
    whole = Observations.of(nll=nll, tokens=np.full(160, 20.0), characters=np.full(160, 20.0), groups=of)
    alone = Observations.of(nll=nll, tokens=np.full(160, 20.0), characters=np.full(160, 20.0))
    low, high = PERPLEXITY.interval(whole)
    near, far = PERPLEXITY.interval(alone)
    assert low < near < PERPLEXITY.reduce(whole) < far < high  # windows of one document say the same
    worse = Observations.of(nll=nll + 1, tokens=np.full(160, 20.0), characters=np.full(160, 20.0), groups=of)
    told = PERPLEXITY.compare(whole, worse)
    assert told.significant and told.value > 0 and PERPLEXITY.lost(told).value == told.value


def test_the_distance_of_two_models_counts_no_filling() -> None:
    scores, batch = windows()
    other = torch.randn(scores.shape, generator=torch.Generator().manual_seed(1))
    assert float(LANGUAGE.distance(scores, scores, batch)) == pytest.approx(0, abs=1e-6)
    changed = other.clone()
    changed[batch.targets["next"] == IGNORED] = 9.0
    assert torch.equal(LANGUAGE.distance(scores, other, batch), LANGUAGE.distance(scores, changed, batch))
    there = batch.targets["next"] != IGNORED
    divergence = functional.kl_div((scores[there] / 2).log_softmax(1), (other[there] / 2).softmax(1), reduction="sum") / int(there.sum())
    assert float(LANGUAGE.distance(scores, other, batch, 2.0)) == pytest.approx(4 * float(divergence), rel=1e-5)


def test_bits_are_undefined_where_nobody_counted_characters() -> None:
    scores, batch = windows()
    seen = LANGUAGE.observe(scores, Batch.of(batch.args[0], batch.targets["next"]))
    assert seen.groups is None and PERPLEXITY.reduce(seen) > 1
    with pytest.raises(DataError, match="Bits per character is undefined"):
        BITS.reduce(seen)


def reader(rows: int, classes: int = 3) -> nn.Module:
    """Return a model that reads ids."""
    layers: list[tuple[str, nn.Module]] = [("tokens", nn.Embedding(rows, 4, padding_idx=0)), ("head", nn.Linear(4, classes))]
    return nn.Sequential(OrderedDict(layers))


@pytest.mark.parametrize("name", ["language-modelling", "text-classification"])
def test_examples_are_ids_that_the_embedding_holds_and_no_filling(name: str) -> None:
    ids = task(name).example(reader(9)).args[0]
    assert ids.dtype == torch.int64 and ids.ndim == 2 and int(ids.min()) >= 1 and int(ids.max()) < 9
    assert task(name).forward(reader(9), Batch.of(ids)).shape == (*ids.shape, 3)


def test_what_does_not_fit_is_said() -> None:
    scores, batch = windows()
    wrong: dict[str, tuple[Any, type[Exception], Any]] = {
        r"token id 9 is outside 0\.\.6, the rows": (lambda: LANGUAGE.forward(reader(7), Batch.of(torch.full((1, 3), 9))), ModelError, 0),
        r"next token 6 is outside 0\.\.4": (lambda: LANGUAGE.loss(scores[..., :5], batch), DataError, 0),
        r"must return scores \[6, 5": (lambda: LANGUAGE.loss(scores[:, 0], batch), ModelError, 0),
        "need the next token at each place of 6 windows": (
            lambda: LANGUAGE.loss(scores, Batch.of(batch.args[0], torch.zeros(6))),
            DataError,
            0,
        ),
        "NaN or infinity": (lambda: LANGUAGE.observe(scores / 0, batch), ModelError, 0),
    }
    for words, (does, error, _) in wrong.items():
        with pytest.raises(error, match=words):
            does()


class Placed(nn.Module):
    """A model that reads ids and adds what it holds of each place."""

    def __init__(self, rows: int, places: int) -> None:
        super().__init__()
        self.tokens, self.places, self.head = nn.Embedding(rows, 4), nn.Embedding(places, 4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> Any:
        return self.head((self.tokens(x) + self.places(torch.arange(x.shape[1]))).mean(1))


def test_what_an_embedding_does_not_hold_is_said_whatever_the_task() -> None:
    for batch, words in (
        (torch.full((2, 3), 12), r"token id 12 is outside 0\.\.8.*tokeniser"),
        (torch.full((2, 3), -1), r"token id -1 is outside 0\.\.8"),
        (torch.ones(2, 6, dtype=torch.int64), r"row 5 of places, which has rows 0\.\.3.*longer than the 4 tokens"),
        (torch.ones(2, 3), r"whole numbers \(tokens looks them up\), and the samples are torch.float32: choose text"),
    ):
        with pytest.raises(ModelError, match=words):
            PLAIN.forward(Placed(9, 4), Batch.of(batch))
