"""``prunekit prune`` with recovery: what it prints, what it keeps, and what it refuses."""

import argparse
import json

import pytest
import torch

import prunekit
from prunekit.cli import main
from prunekit.cli.field_flags import recovery_flags, recovery_of
from prunekit.config.fields import table
from prunekit.config.recovery import Recovery
from prunekit.errors import SpecError
from prunekit.models.folder import read_recipe

SMALL = ["prune", "digits_mlp", "--limit", "200"]


def parsed(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    recovery_flags(parser)
    return recovery_of(parser.parse_args(list(words)))


def test_without_flags_nothing_is_done():
    assert parsed() == Recovery()
    assert parsed("--seed", "3") == Recovery()


def test_every_field_has_a_flag():
    words = "--recalibrate --recalibration-images 10 --epochs 6 --lr 0.5 --rate constant --optimizer adam --momentum 0.5 --weight-decay 0.1"
    words += " --batch-size 7 --no-augment --distill 0.25 --temperature 3 --schedule agp --steps 2 --train-images 50 --recovery-seed 9"
    words += " --prepare growing --prepare-epochs 3 --penalty 0.25"
    expected = Recovery(True, 10, 6, "adam", 0.5, "constant", 0.5, 0.1, 7, False, 0.25, 3.0, "agp", 2, 50, 9, "growing", 3, 0.25)
    assert parsed(*words.split()) == expected
    assert all(value != getattr(Recovery(), name) for name, value in expected.to_dict().items())


def test_preparation_alone_trains_as_told():
    assert parsed("--prepare", "group_lasso", "--lr", "0.5") == Recovery(prepare="group_lasso", lr=0.5)
    assert table(Recovery)["lr"].applies(Recovery(prepare="group_lasso"))
    assert not table(Recovery)["lr"].applies(Recovery(recalibrate=True))


def test_the_seed_is_that_of_pruning_unless_it_has_its_own():
    assert parsed("--epochs", "1", "--seed", "4").seed == 4
    assert parsed("--epochs", "1", "--seed", "4", "--recovery-seed", "0").seed == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--lr", "0.1"], "--lr has no effect without --epochs"),
        (["--no-augment"], "--no-augment has no effect without --epochs"),
        (["--recalibrate", "--schedule", "agp"], "set steps to at least 2"),
        (["--recalibration-images", "5", "--epochs", "1"], "--recalibration-images has no effect without --recalibrate"),
        (["--epochs", "0", "--batch-size", "8"], "--batch-size has no effect"),
        (["--epochs", "4", "--schedule", "agp"], "set steps to at least 2"),
        (["--epochs", "-1"], "epochs must be"),
    ],
)
def test_a_flag_that_would_do_nothing_or_is_not_valid_is_refused(words, said):
    with pytest.raises(SpecError, match=said):
        parsed(*words)


def test_the_result_tells_the_recovery_and_the_folder_holds_the_recovered_weights(tmp_path, capsys):
    out = tmp_path / "small"
    words = ["prune", "digits_cnn", "--limit", "200", "--mode", "structured", "--sparsity", "0.6", "--recalibrate", "--epochs", "2"]
    assert main([*words, "--lr", "0.02", "--json", "--out", str(out)]) == 0
    found = json.loads(capsys.readouterr().out)
    recovery = Recovery(recalibrate=True, epochs=2, lr=0.02)
    told = found["recovery"]
    assert told["settings"] == recovery.to_dict()
    assert [epoch["number"] for epoch in told["history"]] == [1, 2]
    assert set(told["accuracy"]) == {"before", "recalibrated", "after"}
    assert told["accuracy"]["after"] == found["after"]["accuracy"]
    assert told["accuracy"]["before"]["n"] == 200
    assert read_recipe(out).recovery == recovery
    assert json.loads((out / "result.json").read_text())["recovery"] == told

    model, data = prunekit.load_model("digits_cnn"), prunekit.load_data("digits", limit=200)
    spec = prunekit.PruneSpec(mode="structured", sparsity=0.6)
    again = prunekit.prune_and_recover(model, spec, recovery, data)
    opened = prunekit.load_model(str(out))
    assert all(torch.equal(t, opened.state_dict()[name]) for name, t in again.model.state_dict().items())
    assert prunekit.evaluate(again.before, data.test).value == told["accuracy"]["before"]["value"]
    assert prunekit.evaluate(opened, data.test).value == told["accuracy"]["after"]["value"]


def test_a_page_of_text_tells_the_stages_and_the_epoch_that_was_kept(capsys):
    assert main([*SMALL, "--sparsity", "0.9", "--epochs", "2"]) == 0
    text = capsys.readouterr().out
    assert "fine-tuned 2 epochs" in text
    assert "kept" in text
    assert "recalibrated" not in text


def test_without_recovery_neither_the_result_nor_the_recipe_speaks_of_it(tmp_path, capsys):
    assert main([*SMALL, "--sparsity", "0.5", "--json", "--out", str(tmp_path / "plain")]) == 0
    assert "recovery" not in json.loads(capsys.readouterr().out)
    assert read_recipe(tmp_path / "plain").recover is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*SMALL, "--sparsity", "0.5", "--recalibrate"], "no BatchNorm"),
        (["prune", "digits_mlp", "--data", "none", "--sparsity", "0.5", "--epochs", "1"], "choose data"),
        (["prune", "digits_mlp", "--limit", "5", "--sparsity", "0.5", "--epochs", "1"], "no training images of class"),
    ],
)
def test_what_cannot_be_recovered_is_one_line_and_exit_code_2(words, said, capsys):
    assert main(words) == 2
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1
