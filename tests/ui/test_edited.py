"""A file that is edited while the server runs is another model: nothing of the earlier one is drawn."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from prunekit.config import registered
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.requests import SweepRequest
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import sweep_through
from prunekit.models import list_models
from prunekit.ui.accuracy import sweeps
from prunekit.ui.shared import data_cache, model_cache
from prunekit.ui.shared.data_cache import source_of
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.state.settings import Settings

TEXT = """
import torch
from torch import nn
from torch.utils.data import TensorDataset
from scales import SCALE

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
    def forward(self, x):
        return SCALE * self.fc(x)

def net(): return Net()
net.input_shape = (6,)

def data(): return TensorDataset(torch.randn(40, 6, generator=torch.Generator().manual_seed(1)), torch.arange(40) % 3)
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "scales.py").write_text("SCALE = 1.0\n")
    (tmp_path / "nets.py").write_text(TEXT)
    monkeypatch.setattr(registered, "_MODELS", [ModelId(f"{tmp_path}/nets.py:net")])
    monkeypatch.setattr(registered, "_DATA", [DataId(f"{tmp_path}/nets.py:data")])
    return tmp_path


def test_an_edited_file_is_another_model_other_data_and_another_job(own, monkeypatch):
    kept = RunStore(own / "runs.sqlite")
    monkeypatch.setattr(sweeps, "board", lambda: SimpleNamespace(store=kept))
    name = next(model_cache.public_name(entry) for entry in list_models() if entry.kind == "own")
    data = next(iter(data_cache.registered_data()))
    request = SweepRequest(registered.registered_models()[0], registered.registered_data()[0], PruneSpec(), split="test", sparsities=(0.5,))

    def drawn():
        source = source_of(Settings(model=name, data=data))
        loaded = model_cache.load(source)
        part = data_cache.data_of(Settings(model=name, data=data), loaded).test
        line = sweeps.Line(None, "", request, 1, model_cache.weights_known(source, (6,)), data_cache.images_known(part))
        return source, loaded, key_of("sweep", request.to_dict()), sweeps.stored(line)

    source, loaded, job, points = drawn()
    assert points == []
    sweep_through(request, kept)
    same, again, as_before, points = drawn()
    assert (same, as_before) == (source, job) and again.model is loaded.model and len(points) == 2
    (own / "scales.py").write_text("SCALE = -1.0\n")
    edited, other, new, points = drawn()
    assert edited != source and other.model is not loaded.model and new != job and points == []
    (own / "scales.py").write_text("SCALE = 1.0\n")
    assert drawn()[0] == source and drawn()[2] == job and len(drawn()[3]) == 2
    kept.close()


def test_built_in_names_have_no_code():
    assert (
        source_of(Settings(model="digits_mlp")) == Source("digits_mlp")
        and data_cache.data_code("digits", model_cache.load(Source("digits_mlp"))) == ""
    )
