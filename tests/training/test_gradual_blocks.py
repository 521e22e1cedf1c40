"""Schedules over whole blocks: all go at the first cut, later cuts take channels beside them, and what is said of it is one-shot's word."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import prunekit
from prunekit.config.recovery import Recovery
from prunekit.errors import PruningError
from prunekit.pruning.schedule import SCHEDULES
from prunekit.training.gradual import recover
from prunekit.training.pruning_steps import Shrinking
from tests.nets import Residual
from tests.training.drawn import data_of, residual

SHAPE = (2, 6, 6)
DENSE = residual(4, 6, 5)
LAYERS = [name for name, module in DENSE.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
BLOCKS = ["body.0", "body.1", "body.2"]
SHORT = ("asked for", " can go: ")


def spec_of(**said):
    return prunekit.PruneSpec(mode="structured", **said)


def in_steps(model, spec, steps, schedule="linear"):
    """The result of the last cut, without training."""
    shrinking, now = Shrinking(model, spec, None, SHAPE), model
    for share in SCHEDULES[schedule](spec.sparsity, steps, 0.0):
        result = shrinking.cut(now, spec.at(share))
        now = result.model
    return result


def short(result):
    """What is said of the share that was asked for."""
    return [sentence for sentence in result.limits if any(words in sentence for words in SHORT)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_blocks_alone_are_no_shortfall(schedule):
    spec = spec_of(depth=0.67)
    found = in_steps(DENSE, spec, 3, schedule)
    assert len(found.plan.blocks) == 2 and found.achieved.removed > 0
    assert short(found) == short(prunekit.prune(DENSE, spec, input_shape=SHAPE)) == []


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("target", ["channels", "params", "macs"])
def test_blocks_that_take_more_than_was_asked_for_are_named(schedule, target):
    spec = spec_of(depth=1.0, sparsity=0.1, target=target)
    (said,) = short(in_steps(DENSE, spec, 3, schedule))
    assert [said] == short(prunekit.prune(DENSE, spec, input_shape=SHAPE)) and "the blocks alone take" in said


@pytest.mark.parametrize("steps", [2, 3, 5])
def test_layers_that_all_go_with_their_block_leave_nothing_more_to_cut(steps):
    spec = spec_of(blocks=["body.1"], layers=["body.1.a"], sparsity=0.9, target="params")
    found, once = in_steps(DENSE, spec, steps), prunekit.prune(DENSE, spec, input_shape=SHAPE)
    assert found.achieved == once.achieved and found.kept == once.kept
    assert short(found) == short(once) != []


def test_an_override_behind_layers_that_all_went_still_holds():
    spec = spec_of(blocks=["body.1"], layers=["body.1.a"], sparsity=0.4, target="params", overrides={"fc1": 0.34})
    found = in_steps(DENSE, spec, 3)
    stay = {name: len(kept) for name, kept in found.kept.items() if not name.startswith("body.1.")}
    dense = {name: len(DENSE.get_submodule(name).weight) for name in stay}
    assert stay == {**dense, "fc1": 6}


def test_a_schedule_over_blocks_trains_between_its_cuts():
    found = recover(DENSE, spec_of(depth=0.5, sparsity=0.7), Recovery(epochs=2, batch_size=32, schedule="agp", steps=2), data_of())
    assert len(found.history) == 2 and len(found.result.plan.blocks) == 2 and found.result.proof.passed


class Early(nn.Sequential):
    """A network whose first convolution stands in a block that can go."""

    def __init__(self):
        super().__init__(Residual(2, 4), nn.Conv2d(2, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))


def test_what_was_chosen_in_the_dense_model_is_cut_where_its_first_layer_went():
    torch.manual_seed(0)
    model = Early().eval().requires_grad_(False)
    spec = spec_of(blocks=["0"], sparsity=0.75)
    found, once = in_steps(model, spec, 3), prunekit.prune(model, spec, input_shape=SHAPE)
    assert found.achieved == once.achieved and len(found.kept["1"]) == len(once.kept["1"]) < 8
    assert short(found) == short(once)


@given(
    blocks=st.none() | st.sets(st.sampled_from(BLOCKS), min_size=1),
    depth=st.sampled_from([0.34, 0.67, 1.0]),
    layers=st.none() | st.sets(st.sampled_from(LAYERS), min_size=1, max_size=4),
    sparsity=st.sampled_from([0.0, 0.05, 0.3, 0.6, 0.9]),
    target=st.sampled_from(["channels", "params", "macs"]),
    scope=st.sampled_from(["global", "uniform"]),
    steps=st.integers(2, 4),
)
def test_steps_take_every_setting_that_one_cut_takes_and_say_nothing_else_of_its_blocks(
    blocks, depth, layers, sparsity, target, scope, steps
):
    parts = {name: None if found is None else sorted(found) for name, found in (("blocks", blocks), ("layers", layers))}
    spec = spec_of(depth=depth, sparsity=sparsity, target=target, scope=scope, **parts)
    try:
        once = prunekit.prune(DENSE, spec, input_shape=SHAPE)
    except PruningError:
        return
    found = in_steps(DENSE, spec, steps)
    assert found.plan.blocks == once.plan.blocks and (found.proof is None) == found.plan.empty
    if any("the blocks alone take" in sentence for sentence in once.limits) or not once.plan.wanted:
        assert short(found) == short(once) and found.kept == once.kept
    for sentence in short(found):
        assert found.achieved.removed != once.plan.wanted, sentence
