"""``prunekit sensitivity``: the numbers of the core as JSON and as a page, targets where asked, and clear refusals."""

from __future__ import annotations

import json

import pytest

import prunekit
from prunekit.cli import main
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.accuracy import evaluate
from prunekit.models.cost import layer_table


def output(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["sensitivity", "digits_mlp", "--data", "digits", *args]) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["sensitivity", *args]) == 2
    told = capsys.readouterr()
    assert not told.out
    assert told.err.count("\n") == 1
    return told.err


def test_json_holds_each_layer_at_each_sparsity(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(output(capsys, "--json"))
    model = prunekit.load_model("digits_mlp")
    data = prunekit.load_data("digits", model=model)
    table = layer_table(model, (1, 8, 8)).set_index("name")
    assert [layer["name"] for layer in found["layers"]] == list(table.index)
    for layer in found["layers"]:
        assert layer["params"] == table["params"][layer["name"]]
        assert layer["macs"] == table["macs"][layer["name"]]
        assert [point["requested"] for point in layer["points"]] == [i / 10 for i in range(1, 10)]
        for point in layer["points"]:
            assert point["sparsity"] == pytest.approx(point["requested"], abs=0.002)
    last = found["layers"][0]["points"][-1]
    alone = prunekit.prune(model, PruneSpec(layers=(found["layers"][0]["name"],), sparsity=0.9), data)
    assert last["accuracy"] == evaluate(alone.model, data.validation).to_dict()
    assert found["dense"] == evaluate(model, data.validation).to_dict()
    assert found["split"] == "validation"
    assert found["mode"] == "unstructured"
    assert isinstance(found["fragile"], list)
    assert found["suggested"] is None


def test_targets_are_suggested_for_a_drop_or_a_goal(capsys: pytest.CaptureFixture[str]) -> None:
    for goal, key in (("--target-params", "params"), ("--target-macs", "macs")):
        found = json.loads(output(capsys, goal, "0.5", "--images", "60", "--json"))
        assert found["suggested"][key] >= 0.5 - 1e-6
        assert found["suggested"][key] == pytest.approx(0.5, abs=0.02)
        assert found["suggested"]["tag"] == "estimated"
        assert found["dense"]["n"] == 60
        assert [t["name"] for t in found["suggested"]["targets"]] == [layer["name"] for layer in found["layers"]]
        assert all(t["reason"] for t in found["suggested"]["targets"])
    found = json.loads(output(capsys, "--drop", "0.01", "--images", "60", "--json"))
    assert found["suggested"]["drop"] <= 0.01 + 1e-9


def test_an_allowed_loss_stops_early_and_a_full_scan_is_one_flag_away(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--drop", "0.01", "--sparsities", "0.5,0.95")
    found, full = (json.loads(output(capsys, *flags, *more, "--json")) for more in ((), ("--full",)))
    assert (found["drop"], full["drop"], full["saved"], full["references"]) == (0.01, None, 0, [])
    early = [point for layer in found["layers"] for point in layer["points"] if point["settled"]]
    assert early and found["saved"] > 0 and {p["accuracy"]["n"] for p in early} == {each["n"] for each in found["references"]}
    page = output(capsys, *flags)
    assert "of the measurements were not needed" in page and "--full measures all" in page
    assert "not needed" not in output(capsys, *flags, "--full")


def test_groups_of_channels_and_a_choice_of_sparsities(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(
        output(capsys, "--mode", "structured", "--sparsities", "0.25,0.5", "--target-params", "0.3", "--split", "test", "--json")
    )
    assert found["split"] == "test"
    assert all(len(layer["points"]) == 2 for layer in found["layers"])
    assert found["suggested"]["counted"]
    assert 0.3 <= found["suggested"]["params"] < 0.32


def test_the_page_shows_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ("--sparsities", "0.5,0.9", "--limit", "100", "--budget-mb", "0", "--drop", "0.02")
    found, page = json.loads(output(capsys, *flags, "--json")), output(capsys, *flags)
    for layer, target in zip(found["layers"], found["suggested"]["targets"], strict=True):
        line = next(row for row in page.splitlines() if row.startswith(layer["name"] + " "))
        assert all(f"{100 * point['accuracy']['value']:.1f}" in line for point in layer["points"])
        assert target["reason"] in page
    assert "validation images" in page


def test_what_cannot_be_is_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "one point of accuracy" in refused(capsys, "digits_mlp", "--drop", "1")
    assert "not allowed with" in refused(capsys, "digits_mlp", "--drop", "0.1", "--target-macs", "0.5")
    assert "--budget-mb" in refused(capsys, "digits_mlp", "--budget-mb", "-1")
    assert "give --data" in refused(capsys, "digits_mlp", "--data", "none")
    assert "no prunable layer" in refused(capsys, "digits_mlp", "--layers", "nowhere")
    assert "sparsity" in refused(capsys, "digits_mlp", "--sparsities", "1.5")
    assert "at most" in refused(capsys, "digits_mlp", "--sparsities", "0.1", "--images", "30", "--target-params", "0.9")
    assert "does not score channels" in refused(capsys, "digits_mlp", "--mode", "structured", "--criterion", "wanda")
