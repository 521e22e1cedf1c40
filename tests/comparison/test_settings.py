"""Settings that differ are computed: all of them, no other, and counted once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.comparison.settings import ABSENT, caution, differing, setting_rows
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.experiments.records import Run
from tests.comparison.made import dense, pruned

BASE = PruneSpec(mode="structured", criterion="taylor", sparsity=0.5)
TUNED = Recovery(recalibrate=True, epochs=6, schedule="agp", steps=2, distill=0.5)
SPECS: dict[str, PruneSpec] = {
    "removed": replace(BASE, sparsity=0.6),
    "criterion": replace(BASE, criterion="l1"),
    "scope": replace(BASE, scope="uniform"),
    "counted in": replace(BASE, target="macs"),
    "multiples of": replace(BASE, round_to=8),
    "units that may go": replace(BASE, units=("heads",)),
    "whole blocks": replace(BASE, depth=0.25),
    "layers": replace(BASE, layers=("fc1",)),
    "own shares": replace(BASE, overrides=(("fc1", 0.3),)),
    "caps": replace(BASE, caps=(("fc1", 0.7),)),
    "cap of every layer": replace(BASE, cap_all=0.9),
    "samples to score on": replace(BASE, samples=64),
    "seed": replace(BASE, seed=3),
}
RECOVERIES: dict[str, Recovery] = {
    "recalibrate BatchNorm": replace(TUNED, recalibrate=False),
    "epochs of fine-tuning": replace(TUNED, epochs=7),
    "samples to recalibrate on": replace(TUNED, images=100),
    "schedule": replace(TUNED, schedule="linear"),
    "steps": replace(TUNED, steps=3),
    "optimizer": replace(TUNED, optimizer="adam"),
    "learning rate": replace(TUNED, lr=0.5),
    "course of the rate": replace(TUNED, rate="constant"),
    "momentum": replace(TUNED, momentum=0.5),
    "weight decay": replace(TUNED, weight_decay=0.1),
    "batch size": replace(TUNED, batch_size=8),
    "samples to train on": replace(TUNED, train_images=10),
    "distillation": replace(TUNED, distill=0.25),
    "temperature": replace(TUNED, temperature=4.0),
    "augmentation": replace(TUNED, augment=False),
    "seed of training": replace(TUNED, seed=1),
}


def rows_of(*runs: Run) -> Any:
    names = {dense().id: "Dense", **{run.id: letter for run, letter in zip(runs, "ABCDEF", strict=False)}}
    return setting_rows(runs, names)


@pytest.mark.parametrize("name", SPECS)
def test_one_field_of_the_setting_that_differs_is_the_one_that_is_marked(name: str) -> None:
    rows = rows_of(pruned(BASE), pruned(SPECS[name]))
    assert differing(rows) == (name,)
    marked = {row.name for row in rows if row.differs}
    # what a criterion looks at goes with the criterion
    assert marked <= {name, "samples to score on"} and name in marked


def test_blocks_that_may_go_are_told_apart_and_named() -> None:
    rows = rows_of(*(pruned(replace(BASE, depth=0.5, blocks=blocks)) for blocks in (None, ("layer1.1",), ("layer1.1", "layer2.1"))))
    assert differing(rows) == ("blocks that may go",)
    told = {row.name: row.values for row in rows}
    assert told["blocks that may go"] == ("all", "layer1.1", "layer1.1, layer2.1") and told["whole blocks"] == ("50 %",) * 3


@pytest.mark.parametrize("name", RECOVERIES)
def test_one_field_of_the_recovery_that_differs_is_the_one_that_is_marked(name: str) -> None:
    rows = rows_of(pruned(BASE, TUNED), pruned(BASE, RECOVERIES[name]))
    assert differing(rows) == (name,)


@given(st.lists(st.sampled_from([*SPECS.values(), BASE]), min_size=2, max_size=6), st.sampled_from([Recovery(), TUNED]))
def test_a_row_differs_exactly_where_its_texts_do_and_what_counts_differs(specs: list[PruneSpec], recovery: Recovery) -> None:
    rows = rows_of(*(pruned(spec, recovery) for spec in specs))
    for row in rows:
        assert len(row.values) == len(specs)
        assert row.differs == (len(set(row.values)) > 1)
        assert not row.counts or row.differs
    if len(set(specs)) == 1:
        assert differing(rows) == ()


def test_fields_at_their_default_everywhere_are_left_out() -> None:
    rows = rows_of(pruned(PruneSpec(sparsity=0.5)), pruned(PruneSpec(sparsity=0.9)))
    assert [(row.name, row.values) for row in rows] == [("removed", ("50 %", "90 %"))]


def test_fine_tuning_or_not_is_one_difference_and_its_own_settings_follow_from_it() -> None:
    rows = rows_of(pruned(BASE), pruned(BASE, Recovery(epochs=5, optimizer="adam", lr=0.5, batch_size=8)))
    assert differing(rows) == ("epochs of fine-tuning",)
    told = {row.name: row for row in rows}
    assert told["learning rate"].values == (ABSENT, "0.5") and told["learning rate"].differs and not told["learning rate"].counts


def test_the_same_use_of_other_images_counts_and_another_use_does_not() -> None:
    one, other = pruned(BASE, trained_on="a" * 64), pruned(BASE, trained_on="b" * 64)
    assert differing(rows_of(one, other)) == ("images it learned from",)
    assert differing(rows_of(one, one)) == ()
    tuned = pruned(BASE, Recovery(epochs=2), trained_on="c" * 64)
    assert differing(rows_of(one, tuned)) == ("epochs of fine-tuning",)


def test_a_quantised_run_differs_from_its_parent_in_one_thing_and_says_what_it_was_made_from() -> None:
    parent = pruned(BASE)
    child = replace(parent, id="f" * 64, kind="quantised", parent=parent.id)
    rows = rows_of(parent, child)
    assert differing(rows) == ("kind",)
    assert {row.name: row.values for row in rows}["made from"] == ("Dense", "A")


@pytest.mark.parametrize("count", [0, 1, 2, 3, 5])
def test_more_than_two_differences_are_said_out_loud(count: int) -> None:
    names = [f"setting {i}" for i in range(count)]
    told = caution(names, ["A", "B"])
    assert bool(told) == (count > 2)
    if told:
        assert "cannot be put down to any one of them" in told and f"{count} settings" in told and all(name in told for name in names)
