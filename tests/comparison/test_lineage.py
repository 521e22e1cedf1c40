"""Every run hangs where it was made, from the dense model down; what is missing is shown as missing."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from prunekit.comparison.lineage import Node, lineage
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.experiments.records import Run
from tests.comparison.made import dense, pruned

SPEC = PruneSpec(mode="structured", sparsity=0.5)
BOTH = Recovery(recalibrate=True, epochs=2, seed=3)
CUT, TUNED = pruned(SPEC), pruned(SPEC, BOTH, "t" * 64)
ALONE = pruned(SPEC, Recovery(recalibrate=True, seed=3), "u" * 64)
INT8 = replace(TUNED, id="8" * 64, kind="quantised", parent=TUNED.id)
STEPS = pruned(SPEC, Recovery(epochs=4, schedule="agp", steps=2), "v" * 64)
OTHER = pruned(PruneSpec(sparsity=0.9))
IMPORTED = replace(OTHER, id="9" * 64, kind="imported", parent=None)
EVERY = [dense(), CUT, ALONE, TUNED, INT8, STEPS, OTHER, IMPORTED]


def told(*roots: Node) -> list[tuple[int, str, str | None, bool]]:
    return [(node.depth, node.step, node.run and node.run.id, node.picked) for root in roots for node in root.walk()]


def test_the_way_leads_through_prune_recalibrate_fine_tune_and_quantise() -> None:
    (root,) = lineage([INT8], EVERY)
    assert told(root) == [
        (0, "dense", dense().id, False),
        (1, "prune", CUT.id, False),
        (2, "recalibrate", ALONE.id, False),
        (3, "fine-tune", TUNED.id, False),
        (4, "quantise", INT8.id, True),
    ]


def test_runs_share_the_steps_that_they_have_in_common() -> None:
    (root,) = lineage([INT8, ALONE, OTHER, STEPS], EVERY)
    assert [child.step for child in root.children] == ["prune", "prune", "prune in steps"]
    assert {node.run.id for node in root.walk() if node.picked and node.run} == {INT8.id, ALONE.id, OTHER.id, STEPS.id}
    assert len(root.walk()) == 7


def test_what_is_missing_is_drawn_and_said_to_be_missing() -> None:
    (root,) = lineage([INT8])
    notes = [(node.step, node.note) for node in root.walk()]
    passed = "a step on the way, not kept as a run"
    assert notes == [
        ("dense", "not in the store"), ("prune", passed), ("recalibrate", passed), ("fine-tune", "not in the store"), ("quantise", "")
    ]  # fmt: skip
    assert all((node.run is None) == bool(node.note) for node in root.walk())


def test_a_gradual_schedule_is_one_step_because_pruning_and_training_take_turns() -> None:
    (root,) = lineage([STEPS], EVERY)
    assert [node.step for node in root.walk()] == ["dense", "prune in steps"]


def test_an_imported_run_hangs_from_the_dense_model_and_another_model_has_a_tree_of_its_own() -> None:
    foreign = replace(OTHER, id="7" * 64, weights="cd" * 32)
    first, second = lineage([IMPORTED, foreign], EVERY)
    assert [node.step for node in first.walk()] == ["dense", "import"] and second.key != first.key


@given(st.lists(st.sampled_from(EVERY), min_size=1, unique_by=lambda run: run.id), st.sets(st.sampled_from([run.id for run in EVERY])))
def test_every_picked_run_stands_in_the_trees_once_and_nothing_else_is_a_leaf(picked: list[Run], known: set[str]) -> None:
    nodes = [node for root in lineage(picked, [run for run in EVERY if run.id in known]) for node in root.walk()]
    assert len({node.key for node in nodes}) == len(nodes)
    assert {node.key for node in nodes if node.picked} == {run.id for run in picked}
    assert all(node.picked for node in nodes if not node.children)
    assert all(child.depth == node.depth + 1 for node in nodes for child in node.children)
