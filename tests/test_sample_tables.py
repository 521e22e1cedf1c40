"""The samples of tables: each is what its card says, and training again gives the same weights."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from torch import fx, nn

from prunekit.data.tables import load_diabetes
from prunekit.errors import ModelError
from prunekit.local_code.factories import load_factory
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.tasks.batch import Batch
from prunekit.tasks.observations import Observations
from prunekit.tasks.resolver import resolve
from prunekit.training import samples
from prunekit.training.table_samples import OF_ROWS, TableRecipe, fit_table
from sample_models import card, in_folder, weights_path

DATA = {"diabetes": load_diabetes()}


def built(name: str) -> nn.Module:
    model: nn.Module = load_factory(in_folder(name, "model"), ModelError)()
    return model


def trained(name: str) -> nn.Module:
    model = built(name).eval()
    model.load_state_dict(load_file(weights_path(name)))
    return model


def observed(name: str, split: Any) -> Observations:
    task, model = resolve(data=DATA[card(name)["data"]], asked=card(name)["task"]), trained(name)
    batch = Batch.of(split.rows, split.targets)
    with torch.inference_mode():
        return task.observe(task.forward(model, batch), batch)


@pytest.mark.parametrize("name", OF_ROWS)
def test_a_card_is_true(name: str) -> None:
    told, data, payload = card(name), DATA[card(name)["data"]], weights_path(name).read_bytes()
    assert told["weights_sha256"] == hashlib.sha256(payload).hexdigest() and told["weights_bytes"] == len(payload)
    assert told["recipe"] | {"seed": told["seed"]} == TableRecipe.of(told).to_dict()
    known = info(load_model(name))
    assert (known.task, known.data, told["params"]) == (told["task"], told["data"], sum(p.numel() for p in trained(name).parameters()))
    assert tuple(told["input_shape"]) == known.input_shape == (len(data.features),)
    task = resolve(data=data, asked=told["task"])
    for split, field in ((data.test, "test_metrics"), (data.validation, "validation_metrics")):
        seen = observed(name, split)
        for metric in task.metrics:
            found, kept = metric.summary(seen), told[field][metric.name]
            assert found["n"] == kept["n"]
            for end in ("value", "low", "high"):
                assert found[end] == pytest.approx(kept[end], rel=1e-3)


@pytest.mark.parametrize("name", OF_ROWS)
def test_a_sample_learnt_something_and_is_honest_about_how_much(name: str) -> None:
    data, told = DATA[card(name)["data"]], card(name)["test_metrics"]["r2"]
    seen = observed(name, data.test)
    assert told["low"] > 0  # an answer that does not look at the input reaches 0
    assert told["value"] == pytest.approx(r2_score(seen["target"], seen["prediction"]), abs=1e-4)
    linear = RidgeCV(np.logspace(-2, 3, 20)).fit(data.train.rows.numpy(), data.train.targets.numpy())
    assert told["value"] > linear.score(data.test.rows.numpy(), data.test.targets.numpy()) - 0.05


@pytest.mark.parametrize("name", OF_ROWS)
def test_training_again_gives_the_same_model_and_it_can_be_traced(name: str) -> None:
    data = DATA[card(name)["data"]]
    again, _ = fit_table(lambda: built(name), data.train.rows, data.train.targets, TableRecipe.of(card(name)))
    with torch.inference_mode():
        kept, found = trained(name)(data.test.rows), again(data.test.rows)
        assert torch.allclose(kept, found, atol=1e-2)  # another processor may round otherwise
        assert torch.equal(fx.symbolic_trace(trained(name))(data.test.rows), kept)


def test_the_command_writes_weights_and_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch, "set_num_threads", lambda n: None)
    samples.main(["diabetes_mlp", "--out", str(tmp_path)])
    told = yaml.safe_load((tmp_path / "diabetes_mlp" / "card.yaml").read_text())
    assert told["test_metrics"]["r2"]["value"] == pytest.approx(card("diabetes_mlp")["test_metrics"]["r2"]["value"], abs=1e-2)
    assert load_file(tmp_path / "diabetes_mlp" / "weights.safetensors").keys() == trained("diabetes_mlp").state_dict().keys()
    assert "test_metrics" in capsys.readouterr().out
