"""The dense model's quality: measured on one page, known on all of them, and still after the server was started again."""

from __future__ import annotations

import pytest

from prunekit.config import registered
from prunekit.config.ids import DataId, ModelId
from prunekit.experiments.jobs import board
from prunekit.ui.shared import baseline

OWN = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def net(): return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 1))
net.example = torch.zeros(2, 5)

x = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))
def data(): return TensorDataset(x, x.sum(1)), TensorDataset(x, x.sum(1))
"""


def quiet():
    return not any(job.active for job in board().all())


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "sums.py").write_text(f"{OWN}# {tmp_path.name}: other code, and nothing is known of it\n")
    name = f"{tmp_path / 'sums.py'}"
    monkeypatch.setattr(registered, "_MODELS", [ModelId(f"{name}:net")])
    monkeypatch.setattr(registered, "_DATA", [DataId(f"{name}:data")])


@pytest.mark.parametrize(("page", "button"), [("start", "measure_baseline"), ("prune", "measure"), ("latency", "measure_latency")])
def test_it_is_one_figure_on_every_page_and_outlives_the_server(tab, own, no_clock, page, button):
    one = tab(page, model="sums.py:net")  # its task is told by the data alone
    assert "R² not measured" in one.go(page).text
    one.click(button).wait(quiet)
    one.go("start")
    value = one.metric("R²").value
    assert value != "—" and "not measured" not in one.text
    board().forget_all()  # as a server that is started again: the store is all that is left
    baseline._READ.clear()
    again = tab(model="sums.py:net")
    assert again.metric("R²").value == value and "not measured" not in again.text
    shown = again.go("export").text
    assert "quality not measured" not in shown and "R²" in shown


def test_one_on_fewer_samples_says_so_until_it_is_measured_on_all(tab, own, no_clock):
    one = tab("latency", model="sums.py:net", images=30)
    one.click("measure_latency").wait(quiet).go("latency")
    assert "(n = 30)" in one.text and "not measured" not in one.text
    told = one.table("R², n = 30")
    board().forget_all()
    assert tab("latency", model="sums.py:net", images=30).table("R², n = 30").equals(told), "the page reads a kept report of any task"
    one.go("start").click("measure_baseline").wait(quiet).go("start")  # drawn anew: the job may be over before the page is
    assert "(n = 60)" in one.text and one.metric("R²").delta.endswith("n = 60")
    assert not [button for button in one.app.button if button.key == "measure_baseline"]


def test_pages_that_choose_by_validation_say_where_it_comes_from(tab, own):
    one = tab(model="sums.py:net")
    for page in ("sensitivity", "accuracy", "recover", "find"):
        assert "Validation is taken from the training samples" in one.go(page).text, page
