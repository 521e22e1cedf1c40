"""A task of one's own, with two inputs and a metric that is better when lower, from a file through every page."""

import pytest

from prunekit.config import registered
from prunekit.config.ids import DataId, ModelId
from prunekit.experiments.home import store
from prunekit.experiments.jobs import board
from tests.tasks.test_seam import MINE
from tests.ui.test_other_tasks import WRONG, said

DATA = """
task = Demand()

def data():
    return {"train": Days(120, 1), "validation": Days(60, 2), "test": Days(80, 3)}
"""


def quiet():
    return not any(job.active for job in board().all())


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Register model, data and task, as `prunekit app` does."""
    file = tmp_path / "mine.py"
    file.write_text(MINE.replace("model.task = Demand()\n", "") + DATA)
    monkeypatch.setattr(registered, "_MODELS", [ModelId(f"{file}:model", task=f"{file}:task")])
    monkeypatch.setattr(registered, "_DATA", [DataId(f"{file}:data")])
    return file


def asked(one, page, button, answer):
    """Ask on a page, wait for the answer, and return the page with it."""
    one.go(page).ask(button).wait(quiet)
    one.app.run()
    one.check()
    assert answer in one.text and "kWh" in one.text and not one.app.error, page
    assert not [word for word in said(one) if WRONG.search(word) and "could not be kept" not in word], page
    return one


def test_every_page_speaks_of_it_in_its_own_words(tab, place):
    one = tab(model="mine.py:model", evaluations="4", epochs="1", sparsity="60")
    assert one.metric("MACs").delta == "for one input of load: 5 numbers; kind: one whole number"
    words = one.text.replace("\\", "")
    assert "One sample is load: 5 numbers; kind: one whole number" in words and "The first 8 test days" in words
    asked(one, "prune", "measure", "Mean error got")
    assert "kWh" in one.metric("Mean error").value
    asked(one, "sensitivity", "measure_sensitivity", "raises mean error by")
    asked(one, "accuracy", "measure_curves", "the rise is within")
    assert one.app.get_by_key("pick_drop").label == "Raise mean error at most by so many kWh"
    asked(one, "recover", "recover_start", "mean error")
    for page in ("layers", "latency", "compare", "export"):
        assert not one.go(page).app.error, page


def test_runs_are_listed_and_compared_by_its_metric(tab, place):
    for share in ("40", "70"):
        tab("prune", model="mine.py:model", sparsity=share).ask("save_run").wait(quiet)
    runs = [run.id[:12] for run in store().runs() if run.kind == "pruned" and str(place) in str(run.model)]
    one = tab("compare", model="mine.py:model")
    assert one.table("quality")["quality"].str.startswith("mean error ").all()
    one = tab("compare", model="mine.py:model", runs="_".join(runs[:2]), tab="behaviour")
    changed = one.table("change")
    assert list(changed.columns) == ["sample", "target", "error, dense", "error, run", "change"]
    assert changed["change"].is_monotonic_decreasing and (changed["change"] > 0).all()


def test_a_task_is_chosen_on_start_and_stands_in_the_address(tab, place):
    one = tab(model="mine.py:model").set("pick_task", "mine.py:task")
    assert one.address["task"] == "mine.py:task" and one.metric("Mean error").value
    assert "other.py" in tab(model="mine.py:model", task="other.py:task").text
