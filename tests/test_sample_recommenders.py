"""The samples that recommend: each is what its card says, better than popularity alone, and trained by the recipe on its card."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from prunekit.data.load import load_data
from prunekit.data.movielens import FOLDER
from prunekit.errors import ModelError
from prunekit.local_code.factories import load_factory
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.tasks import task
from prunekit.tasks.batches import batches_of
from prunekit.training.table_samples import RECOMMENDERS, InteractionRecipe, fit_interactions
from sample_models import card, in_folder, weights_path

TASK = task("recommendation")


@pytest.fixture(params=RECOMMENDERS)
def name(request: pytest.FixtureRequest) -> str:
    """Return a sample whose data are here."""
    if request.param.startswith("movielens") and not Path(os.environ.get("PRUNEKIT_DATA", ""), FOLDER).is_dir():
        pytest.skip(f"MovieLens is not here: set PRUNEKIT_DATA to a folder that holds {FOLDER}")
    return str(request.param)


def test_there_are_two() -> None:
    assert RECOMMENDERS == ("clicks_dlrm", "movielens_twotower")


def test_a_card_is_true(name: str) -> None:
    told, payload, model = card(name), weights_path(name).read_bytes(), load_model(name)
    known, data = info(model), load_data(card(name)["data"])
    assert told["weights_sha256"] == hashlib.sha256(payload).hexdigest() and told["weights_bytes"] == len(payload) <= 5_000_000
    assert told["recipe"] | {"seed": told["seed"]} == InteractionRecipe.of(told).to_dict()
    assert (known.task, known.data, told["params"]) == (told["task"], told["data"], sum(p.numel() for p in model.parameters()))
    assert told["splits"] == {part: len(getattr(data, part)) for part in ("train", "validation", "test")}
    batch = next(batches_of(data.test, len(data.test)))
    with torch.no_grad():
        seen = TASK.observe(TASK.forward(model, batch), batch)
    for metric in TASK.metrics:
        kept = told["test_metrics"][metric.name]
        assert kept["n"] == seen.n and metric.reduce(seen) == pytest.approx(kept["value"], rel=2e-3, abs=2e-4)
    train: Any = data.train
    popular = np.bincount(train.inputs["item"].numpy(), weights=train.chosen, minlength=10_000)
    alone = roc_auc_score(seen["label"], popular[batch.kwargs["item"].numpy()])
    assert told["test_metrics"]["auc"]["low"] > alone


def test_the_model_of_clicks_comes_near_the_best() -> None:
    best = float(card("clicks_dlrm")["values"].partition("AUC of ")[2].split()[0])
    auc = card("clicks_dlrm")["test_metrics"]["auc"]
    assert best - 0.06 < auc["high"] and auc["low"] < best


@pytest.mark.parametrize("name", ["clicks_dlrm", pytest.param("movielens_twotower", marks=pytest.mark.slow)], indirect=True)
def test_training_learns_by_the_recipe_and_comes_out_the_same_again(name: str) -> None:
    build, data = load_factory(in_folder(name, "model"), ModelError), load_data(card(name)["data"])
    few: Any = data.train.take(np.arange(64))  # type: ignore[union-attr]
    recipe = InteractionRecipe.of({"recipe": card(name)["recipe"] | {"batch_size": 32, "epochs": 8, "warmup": 1}, "seed": 0})
    said: list[str] = []
    with torch.random.fork_rng(devices=[]):
        (one, minutes), (two, _) = (fit_interactions(build, few, recipe, said.append) for _ in range(2))
        torch.manual_seed(0)
        untrained = build().eval()
    assert minutes > 0 and "epoch 1 of 8" in said[0] and not one.training
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    batch = next(batches_of(few, 64))
    with torch.no_grad():
        assert TASK.loss(TASK.forward(one, batch), batch) < TASK.loss(TASK.forward(untrained, batch), batch) - 0.02
