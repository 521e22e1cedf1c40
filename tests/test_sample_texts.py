"""The samples of text: each is what its card says, better than what needs no network, and trained by the recipe on its card."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from prunekit.data.load import load_data
from prunekit.errors import ModelError
from prunekit.evaluation.accuracy import evaluate
from prunekit.local_code.factories import load_factory
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.tasks.batches import batches_of
from prunekit.tasks.language_modelling import PERPLEXITY
from prunekit.tasks.observations import Observations
from prunekit.training import samples, text_samples
from prunekit.training.text_samples import NAMES, TextRecipe, fit_text
from sample_models import card, in_folder, weights_path


@pytest.mark.parametrize("name", NAMES)
def test_a_card_is_true(name: str) -> None:
    told, payload, model = card(name), weights_path(name).read_bytes(), load_model(name)
    known, data = info(model), load_data(card(name)["data"], model=model)
    assert told["weights_sha256"] == hashlib.sha256(payload).hexdigest() and told["weights_bytes"] == len(payload) <= 5_000_000
    assert told["recipe"] | {"seed": told["seed"]} == TextRecipe.of(told).to_dict()
    assert (known.task, known.data, told["params"]) == (told["task"], told["data"], sum(p.numel() for p in model.parameters()))
    assert known.tokeniser.size == known.vocabulary and tuple(told["input_shape"]) == tuple(known.input_shape or ())
    assert tuple(told.get("classes", ())) == known.classes == data.classes
    assert told["splits"] == {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
    seen = evaluate(model, data.test)
    for metric in seen.task.metrics if seen.task is not None else ():
        found, kept = metric.summary(seen.observations), told["test_metrics"][metric.name]
        assert found["n"] == kept["n"] and [found[end] for end in ("value", "low", "high")] == pytest.approx(
            [kept[end] for end in ("value", "low", "high")], rel=2e-3
        )


def test_the_encoder_sorts_reviews_as_well_as_counted_pairs_of_words() -> None:
    assert card("reviews_encoder")["test_metrics"]["accuracy"]["value"] > 0.858  # a linear model on pairs of words, trained on as many


def test_the_language_model_knows_more_than_which_character_follows_which() -> None:
    data: Any = load_data("shakespeare")
    counts, nll = np.ones((65, 65)), 0.0
    np.add.at(counts, (data.train.ids[data.train.there].numpy(), data.train.following[data.train.there].numpy()), 1)
    chances = np.log(counts / counts.sum(1, keepdims=True))
    there = data.test.there
    nll = -chances[data.test.ids[there].numpy(), data.test.following[there].numpy()].sum()
    pairs = PERPLEXITY.reduce(Observations.of(nll=[nll], tokens=[int(there.sum())]))
    assert card("shakespeare_gpt")["test_metrics"]["perplexity"]["high"] < 0.6 * pairs
    assert card("shakespeare_gpt")["validation_metrics"]["perplexity"]["value"] < np.exp(1.75)


@pytest.mark.parametrize("name", NAMES)
def test_training_learns_by_the_recipe_and_comes_out_the_same_again(name: str) -> None:
    build = load_factory(in_folder(name, "model"), ModelError)
    train: Any = load_data(card(name)["data"]).train
    few = train.take(np.arange(24))
    told = card(name)["recipe"] | {"batch_size": 4, "warmup": 2, "label_smoothing": 0.0}
    recipe = TextRecipe.of({"recipe": told | ({"epochs": 2} if told["epochs"] else {"steps": 12}), "seed": 0})
    said: list[str] = []
    with torch.random.fork_rng(devices=[]):
        (one, minutes), (two, _) = (fit_text(build, few, recipe, said.append) for _ in range(2))
        torch.manual_seed(0)
        untrained: nn.Module = build()
    assert minutes > 0 and "step 0 of" in said[0] and not one.training
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    batch, task = next(batches_of(few, 24)), evaluate(one, few).task
    assert task is not None
    with torch.no_grad():
        assert task.loss(one(*batch.args), batch) < task.loss(untrained.eval()(*batch.args), batch) - 0.02


def test_the_command_writes_weights_and_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    monkeypatch.setattr(text_samples, "load_data", lambda name, model: load_data(name, model=model, limit=20))
    monkeypatch.setattr(text_samples, "fit_text", lambda build, *_: (load_model("shakespeare_gpt"), 1.0))
    samples.main(["shakespeare_gpt", "--out", str(tmp_path)])
    told = yaml.safe_load((tmp_path / "shakespeare_gpt" / "card.yaml").read_text())
    assert told["weights_sha256"] == card("shakespeare_gpt")["weights_sha256"] and told["training_minutes"] == 1.0
    assert told["test_metrics"]["perplexity"]["n"] == 20 and "bits_per_character" in capsys.readouterr().out
