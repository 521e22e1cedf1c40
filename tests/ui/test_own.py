"""A model of one's own in the dashboard: opened with its data, its inputs asked for, and no figure shown of something else."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from prunekit.cli import main
from prunekit.comparison.compare_runs import compare_runs
from prunekit.config import registered
from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.experiments.backfill import fill
from prunekit.experiments.identity import run_id
from prunekit.experiments.jobs import board
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.save_run import save
from prunekit.models import entries
from prunekit.models.entries import ModelEntry
from prunekit.reports.page import report
from prunekit.ui.components import show
from tests import own_nets
from tests.tables import case
from tests.ui.conftest import TITLES


@pytest.fixture
def launch(tmp_path, monkeypatch):
    """Register models and data, as `prunekit app` does; without data where none are named."""

    def call(*models, data=()):
        monkeypatch.setattr(registered, "_MODELS", [ModelId(str(name)) for name in models])
        monkeypatch.setattr(registered, "_DATA", [DataId(str(name)) for name in data])

    return call


@pytest.fixture
def own(tmp_path: Path) -> str:
    return own_nets.write(tmp_path)


@pytest.fixture
def pictures(tmp_path: Path) -> str:
    return own_nets.pictures(tmp_path)


def test_own_models_have_cards_and_a_search_goes_over_all_shelves(tab, launch, own, monkeypatch):
    launch(f"{own}:net", data=[f"{own}:data"])
    for kind in ("torchvision", "timm"):
        there = [ModelEntry(f"{kind}/resnet18", kind, "resnet18", "photographs", "", None, ModelId(f"{kind}/resnet18"))]
        monkeypatch.setitem(entries._ENTRIES, kind, lambda there=there: there)
    one = tab()
    assert {"use_own.py:net"} <= {button.key for button in one.app.button} and "26 parameters" in one.text
    one.set("find_model", "ResNet")
    found = {button.key for button in one.app.button if button.key.startswith("found_")}
    assert found >= {"found_torchvision/resnet18", "found_timm/resnet18", "found_cifar10_resnet20"} and "found_digits_mlp" not in found
    one.set("find_model", "own net")
    assert [button.key for button in one.app.button if button.key.startswith("found_")] == ["found_own.py:net"]
    one.set("find_model", "digits perceptron").click("found_digits_mlp")
    assert one.address["model"] == "digits_mlp" and one.app.get_by_key("find_model").value == ""


def below(tab, label):
    return tab.metric(label).delta


def test_the_model_named_at_launch_is_open_with_its_data_on_every_page(tab, launch, own):
    launch(f"{own}:net", "digits_mlp", data=[f"{own}:data"])
    one = tab()
    assert one.app.get_by_key("pick_shelf").value == "own" and one.app.get_by_key("pick_data").value == "own.py:data"
    assert one.app.get_by_key("pick_size").value == "3 × 18 × 30" and "that of the data" in one.text
    assert below(one, "MACs") == "for one input of 3 × 18 × 30" and one.metric("MACs").value.startswith("6.49")
    for page in TITLES:
        one.go(page)
        text = one.text.replace("\\", "")
        assert not one.app.error and "**own.py:net**" in text and "data: own.py:data" in text, page
    assert one.address["model"] == "own.py:net"
    one.go("start").set("pick_shelf", "sample").click("use_digits_cnn")
    assert one.address["model"] == "digits_cnn" and one.app.get_by_key("pick_data").value == "digits"
    assert tab(model="digits_cnn").app.get_by_key("pick_data").value == "digits"


def test_each_model_has_its_own_data_where_there_are_as_many(tab, launch, own):
    launch(f"{own}:net", f"{own}:few", data=[f"{own}:data", f"{own}:many"])
    one = tab(model="own.py:few")
    assert one.app.get_by_key("pick_data").value == "own.py:many" and one.app.get_by_key("pick_size").value == "12"
    one.click("measure_baseline").wait(lambda: one.app.error)
    assert "2 classes" in one.app.error[0].value


def test_of_several_models_each_takes_what_fits_it(tab, launch, own):
    launch(f"{own}:letters", f"{own}:net", data=[f"{own}:data"])
    one = tab()
    assert one.app.get_by_key("pick_data").value == "none" and "digits" not in one.app.get_by_key("pick_data").options
    assert "--data csv:PATH" in one.text and not one.app.error
    one.click("use_own.py:net")
    assert one.app.get_by_key("pick_data").value == "own.py:data"


def test_folders_of_the_server_are_no_part_of_what_a_page_says(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNEKIT_HOME", "/srv/own/.prunekit")
    folder = tempfile.gettempdir()
    assert show.plain(f"cannot read {folder}/up-1/a.pt, it is damaged") == "cannot read a.pt, it is damaged"
    assert show.plain("/srv/own/.prunekit/models/12ab/w.pt holds other values") == "w.pt holds other values"
    assert show.plain("no picture in /data/cats/1.png") == "no picture in /data/cats/1.png"


def test_a_guessed_shape_is_called_one_wherever_it_counts(tab, launch, own):
    launch(f"{own}:net")
    one = tab()
    assert below(one, "MACs") == "for one input of 3 × 32 × 32, a guess" and "3 × 32 × 32 is a guess" in one.text
    for page in ("prune", "latency"):
        assert "3 × 32 × 32 is a guess" in one.go(page).text
    for page in TITLES:
        assert "a guess: input size 3 × 32 × 32" in one.go(page).text
    one.go("start").set("pick_size", "24")
    assert one.address["size"] == "24" and below(one, "MACs") == "for one input of 3 × 24 × 24" and "is a guess" not in one.text
    one.set("pick_size", "3 x 10 x 20")
    assert one.address["size"] == "3_10_20" and below(one, "MACs") == "for one input of 3 × 10 × 20"
    one.set("pick_size", "large")
    assert "was expected, not “large”" in one.text and one.address["size"] == "3_10_20"
    one.set("pick_size", "")
    assert "size" not in one.address and "is a guess" in one.text


def saved_of(own):
    """Runs of a model of one's own that jobs have saved."""
    done = [job.result for job in board().all() if job.state == "done" and job.title.startswith("Save")]
    return [run for run in done if run.model["name"].startswith(str(own))]


def test_no_better_than_chance_asks_and_the_fields_answer(tab, launch, own, pictures):
    launch(f"{own}:net", data=[pictures])
    one = tab()
    assert one.app.get_by_key("pick_size").value == "3 × 12 × 12" and one.app.get_by_key("pick_mean").placeholder == "0, 0, 0, a guess"
    one.click("measure_baseline").wait(lambda: one.metric("Accuracy").value != "—")
    assert one.metric("Accuracy").value.startswith("50") and "no better than chance" in one.text and "preprocessing" in one.text
    assert "no better than chance" in one.go("prune").text
    one.go("start").set("pick_mean", "0.49, 0.49, 0.49").set("pick_std", "0.2 0.2 0.2")
    assert one.address["mean"] == "0.49_0.49_0.49" and one.metric("Accuracy").value == "—" and "a guess" not in one.text
    one.click("measure_baseline").wait(lambda: one.metric("Accuracy").value != "—")
    assert one.metric("Accuracy").value.startswith("100") and "chance" not in one.text
    again = tab(**one.address)
    assert again.app.get_by_key("pick_mean").value == "0.49, 0.49, 0.49" and again.metric("Accuracy").value.startswith("100")
    again.set("pick_classes", "b, a")
    again.click("measure_baseline").wait(lambda: again.metric("Accuracy").value != "—")
    assert again.metric("Accuracy").value.startswith("0") and again.address["classes"] == "b~a" and "chance" in again.text
    again.set("pick_classes", "").go("prune").click("save_run")
    again.wait(lambda: saved_of(own))
    (saved,) = saved_of(own)
    assert saved.info["data"]["mean"] == [0.49] * 3 and saved.info["input_shape"] == [3, 12, 12]


def test_every_page_that_measures_says_what_is_no_better_than_chance(tab, launch, own, pictures):
    launch(f"{own}:net", data=[pictures])
    one = tab("sensitivity")
    one.click("measure_sensitivity").wait(lambda: "no better than chance" in one.text)
    targets = one.table("remove")["remove"]
    assert list(targets) == [round(share, 1) for share in targets], "a cell cuts digits off"
    other = tab("accuracy")
    other.click("measure_curves").wait(lambda: "no better than chance" in other.text)


def test_what_cannot_be_is_one_sentence_on_every_page(tab, launch, own, pictures):
    launch(f"{own}:net", data=[pictures])
    for given, said in (
        ({"mean": "0.5", "std": "0.2_0.2_0.2"}, "as many values as each other"),
        ({"mean": "0.5_0.5"}, "needs 3 value"),
        ({"size": "3_10_20"}, "those of the data count"),
    ):
        one = tab(**given)
        for page in TITLES:
            one.go(page)  # which looks for exceptions
        with case(given):
            assert said in one.go("start").text


def test_compare_says_what_was_guessed_and_what_is_chance(tab, launch, own, pictures):
    launch(f"{own}:net", data=[pictures])
    runs = [
        save(AccuracyRequest(ModelId(f"{own}:net"), DataId(pictures), PruneSpec(sparsity=share), split="test"), board().store)
        for share in (0.3, 0.6)
    ]
    one = tab("compare", runs="_".join(run.id[:12] for run in runs))
    assert "dense model is no better than chance" in one.text and "mean and std of pixels are a guess" in one.text
    assert "no better than chance" in report(compare_runs([run.id for run in runs], board().store), board().store)
    names, given = [run.id for run in runs], {"mean": (0.48,) * 3, "std": (0.2,) * 3}
    fill([run_id(runs[0].weights, None, None), *names], DataId(pictures, **given), "test", board().store)
    found = compare_runs(names, board().store, data=DataId(pictures, **given))
    assert found.baseline.accuracy.value == 1.0 and not any("guess" in doubt or "dense" in doubt for doubt in found.doubts)


def test_a_folder_brings_its_data_limit_and_size_and_says_what_it_answered(tab, launch, own, pictures, tmp_path, capsys):
    given = ["--data", pictures, "--size", "10", "--limit", "20", "--mean", "0.49,0.49,0.49", "--std", "0.2,0.2,0.2", "--classes", "a,b"]
    assert main(["prune", f"{own}:net", *given, "--sparsity", "0.3", "--out", str(tmp_path / "small"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    launch(tmp_path / "small")
    one = tab()
    assert one.app.get_by_key("pick_data").value == "pictures" and one.app.get_by_key("pick_limit").value == 20
    assert below(one, "MACs") == "for one input of 3 × 10 × 10" and "answers as the model that was saved" in one.text
    assert one.app.get_by_key("pick_mean").value == "0.49, 0.49, 0.49" and "a guess" not in one.text
    one.click("measure_baseline").wait(lambda: one.metric("Accuracy").value != "—")
    assert f"n = {told['after']['accuracy']['n']}" in below(one, "Accuracy") and told["after"]["accuracy"]["n"] == 20
    one.set("pick_limit", 0)
    assert (
        one.app.get_by_key("pick_limit").value == 0
        and "60 to confirm" in one.text
        and tab(**one.address).app.get_by_key("pick_limit").value == 0
    )
