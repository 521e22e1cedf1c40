"""Whole residual blocks: which can go, and that a model without them is the model in which they pass their input on."""

import copy
import functools
import math
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from prunekit import load_model
from prunekit.config.recipe import Recipe
from prunekit.config.spec import PruneSpec
from prunekit.errors import CheckpointError, OutOfReach, PruningError, SpecError
from prunekit.formatting import ordinary, percent
from prunekit.models.cost import count
from prunekit.models.folder import read_folder, write_folder
from prunekit.models.info import info
from prunekit.models.layers import prunable_layers
from prunekit.pruning.api import prune
from prunekit.pruning.execution import planned_counts
from prunekit.pruning.proof import prove
from prunekit.pruning.structured.depth import block_scores
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink
from prunekit.pruning.structured.target_search import TOLERANCE
from tests.nets import SHAPE, Residual, nets

ACTIVATIONS = {"Identity": lambda x: x, "ReLU": F.relu, "GELU": F.gelu, "SiLU": F.silu, "ReLU6": F.relu6, "Hardswish": F.hardswish}


class Sum(nn.Module):
    """``act(x + branch(x))``, or what a test makes of it."""

    def __init__(self, join, width=6):
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(width, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Conv2d(5, width, 1)
        self.scale, self.join = nn.Parameter(torch.tensor(0.7)), join

    def forward(self, x):
        return self.join(x, self.b(F.silu(self.norm(self.a(x)))), self.scale)


def chain(*blocks):
    return nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)).eval()


@functools.cache
def four_blocks():
    """A network of four blocks, and its couplings."""
    torch.manual_seed(0)
    net = chain(*(Sum(lambda x, f, s: x + f) for _ in range(4)))
    return net, trace(net, SHAPE)


def blocks_of(net):
    return {block.name: block.becomes for block in trace(net, SHAPE).blocks}


def passing_on(net, blocks):
    """Return the dense model in which blocks give their input, behind the activation of their sum."""
    other = copy.deepcopy(net)
    for name, becomes in blocks.items():
        other.get_submodule(name).register_forward_hook(lambda _m, args, _o, act=ACTIVATIONS[becomes]: act(args[0]))
    return other


@pytest.mark.parametrize(
    ("join", "becomes"),
    [
        (lambda x, f, s: x + f, "Identity"),
        (lambda x, f, s: f + x, "Identity"),
        (lambda x, f, s: x + s * f, "Identity"),
        (lambda x, f, s: f.add_(x), "Identity"),
        (lambda x, f, s: x + f * torch.sigmoid(f.mean((2, 3), keepdim=True)), "Identity"),
        (lambda x, f, s: F.dropout(x + f, training=False), "Identity"),
        (lambda x, f, s: (x.flatten(2) + f.flatten(2)).view(x.shape), "Identity"),
        (lambda x, f, s: F.relu(x + f), "ReLU"),
        (lambda x, f, s: F.relu_(x + f), "ReLU"),
        (lambda x, f, s: F.relu(F.relu(x + f)), "ReLU"),
        (lambda x, f, s: F.gelu(x + f), "GELU"),
        (lambda x, f, s: F.silu(x + f), "SiLU"),
        (lambda x, f, s: F.relu6(x + f), "ReLU6"),
        (lambda x, f, s: F.hardswish(x + f), "Hardswish"),
        (lambda x, f, s: x + torch.tanh(f) + f.relu(), "Identity"),
    ],
)
def test_a_module_that_adds_to_its_input_can_go(join, becomes):
    net = chain(Sum(join))
    assert blocks_of(net) == {"1": becomes}
    result = prune(net, PruneSpec(mode="structured", depth=1), input_shape=SHAPE)
    assert result.proof.passed
    x = torch.randn(3, *SHAPE)
    torch.testing.assert_close(result.model(x), passing_on(net, {"1": becomes})(x))


@pytest.mark.parametrize(
    "join",
    [
        lambda x, f, s: f,
        lambda x, f, s: 2 * x + f,
        lambda x, f, s: x + x + f,
        lambda x, f, s: x * f,
        lambda x, f, s: x * torch.sigmoid(f),
        lambda x, f, s: x + torch.sigmoid(f),
        lambda x, f, s: x + f + 1,
        lambda x, f, s: torch.add(f, x, alpha=2),
        lambda x, f, s: x - 0.1 + f,
        lambda x, f, s: F.gelu(F.gelu(x + f)),
        lambda x, f, s: F.relu(F.gelu(x + f)),
        lambda x, f, s: torch.flip(x, [2]) + f,
        lambda x, f, s: x + torch.softmax(f, 1),
        lambda x, f, s: F.batch_norm(x + f, torch.zeros(6), torch.ones(6)),
        lambda x, f, s: x.transpose(2, 3) + f,
        lambda x, f, s: (x.transpose(2, 3).flatten(2) + f.flatten(2)).view(x.shape),
    ],
)
def test_a_module_that_gives_something_else_than_its_input_stays(join):
    assert blocks_of(chain(Sum(join))) == {}


def test_blocks_whose_shape_changes_that_run_twice_or_share_weights_stay():
    twice, shared = Sum(lambda x, f, s: x + f), Sum(lambda x, f, s: x + f)
    other = Sum(lambda x, f, s: x + f)
    other.a = shared.a

    class Wider(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(6, 6, 1, stride=2), nn.Conv2d(6, 6, 3, padding=1, stride=2)

        def forward(self, x):
            return self.a(x) + self.b(x)

    assert blocks_of(chain(twice, twice, shared, other, Wider())) == {}


def test_an_activation_that_has_been_passed_already_is_left_out():
    add = Sum(lambda x, f, s: F.relu(x + f))
    assert blocks_of(chain(nn.ReLU(), copy.deepcopy(add), nn.MaxPool2d(2), copy.deepcopy(add))) == {"2": "Identity", "4": "Identity"}
    assert blocks_of(chain(nn.GELU(), Sum(lambda x, f, s: F.gelu(x + f)))) == {"2": "GELU"}
    assert blocks_of(chain(nn.ReLU(), nn.Conv2d(6, 6, 1), copy.deepcopy(add))) == {"3": "ReLU"}


def test_of_blocks_within_blocks_the_smallest_can_go():
    inner = nn.Sequential(Sum(lambda x, f, s: x + f), Sum(lambda x, f, s: x + f))
    assert list(blocks_of(chain(inner, nn.Sequential(Residual(6, 3))))) == ["1.0", "1.1", "2.0"]


@given(nets(), st.data())
def test_any_blocks_and_channels_together_are_proved_and_counted_exactly(net, data):
    net.eval()
    graph = trace(net, SHAPE)
    blocks = tuple(b.name for b in graph.blocks if data.draw(st.booleans()))
    chosen = {"layers": prunable_layers(net), "criterion": "random", "seed": data.draw(st.integers(0, 99)), "blocks": blocks or None}
    removal = ChannelRanking.of(net, PruneSpec(mode="structured", sparsity=data.draw(st.floats(0, 0.9)), **chosen), graph).cut()
    assert removal.blocks == blocks
    small, before = shrink(net, removal), count(net, SHAPE)
    after = count(small, SHAPE)
    assert (after.params, after.macs) == planned_counts(net, removal, before)
    assert prove(net, removal, batch=2).passed is not removal.empty
    assert Removal.leaving(graph, removal.kept).blocks == blocks
    assert set(prunable_layers(small)) == {name for name, kept in removal.kept.items() if kept}


@given(nets(), st.floats(0, 1), st.floats(0, 0.9), st.sampled_from(["channels", "params", "macs"]), st.sampled_from(["global", "uniform"]))
def test_the_share_asked_for_counts_what_blocks_take_along(net, depth, sparsity, target, scope):
    graph = trace(net.eval(), SHAPE)
    if not graph.blocks:
        return
    spec = PruneSpec(mode="structured", depth=depth, sparsity=sparsity, target=target, scope=scope, layers=prunable_layers(net))
    ranking = ChannelRanking.of(net, spec, graph)
    plan = ranking.cut()
    result = prune(net, spec, input_shape=SHAPE)
    assert plan.removed >= ranking.by_blocks
    if target != "channels":
        assert plan.removed == getattr(result.before, target) - getattr(result.after, target)
    if plan.wanted <= ranking.by_blocks:
        assert plan.atoms.size == 0 and plan.removed == ranking.by_blocks
    elif ranking.plain and scope == "global":
        assert plan.removed == plan.wanted or plan.limits


def test_the_lowest_scores_go_first_and_a_named_block_is_the_only_one():
    net = chain(*(Sum(lambda x, f, s: x + f) for _ in range(4)))
    with torch.no_grad():
        for block, factor in zip((1, 2, 3, 4), (3.0, 0.1, 2.0, 0.5), strict=True):
            for layer in ("a", "b"):
                getattr(net[block], layer).weight.mul_(factor)
    spec = PruneSpec(mode="structured", depth=0.5)
    graph = trace(net, SHAPE)
    for criterion in ("l1", "l2"):
        scores = block_scores(net, PruneSpec(mode="structured", criterion=criterion), graph)
        assert sorted(scores, key=scores.get) == ["2", "4", "3", "1"]
    assert ChannelRanking.of(net, spec, graph).blocks == ("2", "4")
    assert prune(net, PruneSpec(mode="structured", blocks=["1"]), input_shape=SHAPE).plan.blocks == ("1",)
    assert prune(net, PruneSpec(mode="structured", blocks=["1", "3"], depth=0.5), input_shape=SHAPE).plan.blocks == ("3",)


def test_scores_do_not_grow_with_the_width_of_a_block():
    torch.manual_seed(0)
    net = nn.Sequential(*(nn.Sequential(Residual(width, 2 * width), nn.Conv2d(width, 2 * width, 1)) for width in (2, 4, 8, 16, 32)))
    with torch.no_grad():
        for p in net.parameters():
            if p.dim() > 1:
                p.normal_(0, p[0].numel() ** -0.5)
    net = nn.Sequential(net, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 5)).eval()
    for criterion in ("l1", "l2"):
        scores = list(block_scores(net, PruneSpec(mode="structured", criterion=criterion), trace(net, SHAPE)).values())
        assert len(scores) == 5 and max(scores) < 1.6 * min(scores)


def test_a_wrong_surgery_of_blocks_fails_the_proof():
    net = chain(Sum(lambda x, f, s: F.gelu(x + f)), Sum(lambda x, f, s: x + f))
    graph = trace(net, SHAPE)
    removal = Removal(graph, np.zeros(0, dtype=np.int64), blocks=("1",))

    def forgets_the_activation(model, plan):
        small = shrink(model, plan)
        small[1] = nn.Identity()
        return small

    def takes_another(model, plan):
        return shrink(model, Removal(graph, plan.atoms, blocks=("2",)))

    assert prove(net, removal).passed
    for surgery in (forgets_the_activation, takes_another, lambda model, plan: model):
        assert not prove(net, removal, surgery=surgery).passed


def test_what_cannot_be_honoured_is_said():
    residual, plain = chain(Sum(lambda x, f, s: x + f)), chain(nn.Conv2d(6, 6, 1))
    with pytest.raises(PruningError, match="no block of this model can go as a whole"):
        prune(plain, PruneSpec(mode="structured", depth=0.5), input_shape=SHAPE)
    with pytest.raises(SpecError, match="blocks must be one of 1"):
        prune(residual, PruneSpec(mode="structured", blocks=["5"]), input_shape=SHAPE)
    with pytest.raises(PruningError, match="it goes with its whole block"):
        prune(residual, PruneSpec(mode="structured", blocks=["1"], overrides={"1.a": 0.5}), input_shape=SHAPE)
    few = prune(residual, PruneSpec(mode="structured", depth=0.2), input_shape=SHAPE)
    assert any("no block goes" in sentence for sentence in few.limits)
    both = prune(residual, PruneSpec(mode="structured", blocks=["1"], sparsity=0.1, target="params"), input_shape=SHAPE)
    assert any("the blocks alone take" in sentence for sentence in both.limits) and both.plan.atoms.size == 0


def test_a_model_without_blocks_is_of_its_class_trains_is_pruned_again_and_comes_back_from_files(tmp_path):
    model = load_model("cifar10_resnet20")
    shape = info(model).input_shape
    spec = PruneSpec(mode="structured", depth=0.4, sparsity=0.5)
    small = prune(model, spec).model
    x = torch.randn(2, *shape)
    write_folder(tmp_path / "out", small, Recipe({"name": "cifar10_resnet20"}, None, spec), {})
    for back in (load_model(str(tmp_path / "out")), pickle.loads(pickle.dumps(small)), copy.deepcopy(small)):
        assert type(back) is type(model)
        torch.testing.assert_close(back(x), small(x), rtol=0, atol=0)
    again = prune(load_model(str(tmp_path / "out")), PruneSpec(mode="structured", depth=0.5, sparsity=0.6), input_shape=shape)
    assert again.proof.passed and again.after.params < again.before.params
    trained = copy.deepcopy(small).train().requires_grad_(True)
    F.cross_entropy(trained(x), torch.tensor([1, 2])).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained.parameters())
    assert read_folder(tmp_path / "out") is not None


def test_a_file_cannot_put_any_module_in_a_blocks_place():
    from prunekit.models.rebuilding import apply_widths

    for name, kind in (("1", "Linear"), ("1", "os.system"), ("9", "Identity"), ("", "Identity"), ("1", ["Identity"])):
        with pytest.raises(CheckpointError):
            apply_widths(chain(Sum(lambda x, f, s: x + f)), {name: {"becomes": kind}})


def test_every_step_of_a_schedule_leaves_out_the_blocks_that_went_with_the_first():
    from prunekit.training.pruning_steps import Shrinking

    net = chain(*(Sum(lambda x, f, s: x + f) for _ in range(4)))
    chosen = {"layers": prunable_layers(net), "overrides": {"1.a": 0.4}, "blocks": ["2", "3", "4"]}
    spec = PruneSpec(mode="structured", depth=0.7, sparsity=0.6, target="params", **chosen)
    for share in (0.1, 0.5):
        steps, now = Shrinking(net, spec, None, SHAPE), net
        for sparsity in (share, 0.6):
            result = steps.cut(now, spec.at(sparsity))
            now = result.model
            assert result.proof.passed and len(result.plan.blocks) == 2
        assert result.achieved.sparsity == pytest.approx(0.6, abs=0.06)


class Reading(nn.Module):
    """Blocks of which forward() reads an attribute, or uses a part once more."""

    def __init__(self, kind):
        super().__init__()
        self.stem, self.kind = nn.Conv2d(2, 6, 3, padding=1), kind
        self.body = nn.ModuleList(Residual(6, 4) for _ in range(3))
        self.body[0].skip = False
        self.head = nn.Linear(6, 5)

    def forward(self, x):
        x = self.stem(x)
        if self.kind == "attribute" and self.body[0].skip:
            return x
        for block in self.body:
            x = block(x)
        if self.kind == "part":
            x = x + self.body[0].b(torch.relu(self.body[0].a(x)))
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("kind", ["attribute", "part"])
def test_a_block_that_forward_looks_into_stays(kind):
    net = Reading(kind)
    assert set(blocks_of(net)) == {"body.1", "body.2"}
    result = prune(net, PruneSpec(mode="structured", depth=1.0), input_shape=SHAPE)
    assert result.plan.blocks == ("body.1", "body.2") and result.proof.passed
    assert set(blocks_of(Reading("no"))) == {"body.0", "body.1", "body.2"}


def test_a_block_into_which_another_hook_puts_something_else_stays():
    net = chain(Residual(6, 4), Residual(6, 4))
    net[1].register_forward_pre_hook(lambda _m, args: (2 * args[0],))
    assert set(blocks_of(net)) == {"2"}


def test_an_activation_in_another_form_than_its_class_has_is_none_that_can_stand_there():
    assert blocks_of(chain(Sum(lambda x, f, s: F.gelu(x + f, approximate="tanh")))) == {}
    assert blocks_of(chain(Sum(lambda x, f, s: F.gelu(x + f, approximate="none")))) == {"1": "GELU"}


def test_what_was_changed_on_a_model_is_seen_by_the_next_pruning():
    net = chain(Sum(lambda x, f, s: F.relu(x + f)), nn.Conv2d(6, 6, 3, stride=1, padding=1))
    assert blocks_of(net) == {"1": "ReLU"}
    net[1] = nn.Sequential(nn.Conv2d(6, 6, 1))
    assert blocks_of(net) == {}
    before = trace(net, SHAPE).macs["2"]
    net[2].stride = (2, 2)
    assert trace(net, SHAPE).macs["2"] == before / 4
    net = nn.Sequential(OrderedDict(first=nn.Conv2d(2, 6, 3), last=nn.Conv2d(6, 5, 3)))
    assert trace(net, SHAPE).layers == ("first", "last")
    net._modules = OrderedDict(front=net.first, last=net.last)
    assert trace(net, SHAPE).layers == ("front", "last")


class Widening(nn.Module):
    """``x + project(depthwise(cat(x, expand(x))))``: channels of its own beside those that it adds to, in one group."""

    def __init__(self, width=8):
        super().__init__()
        self.expand, self.project = nn.Conv2d(width, width, 1), nn.Conv2d(2 * width, width, 1)
        self.depth = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)

    def forward(self, x):
        return x + self.project(torch.relu(self.depth(torch.cat([x, torch.relu(self.expand(x))], 1))))


@pytest.mark.parametrize("depth", [0.5, 1.0])
def test_channels_that_go_with_a_block_leave_the_rest_of_their_group(depth):
    stem, end = nn.Conv2d(2, 8, 3, padding=1), [nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)]
    net = nn.Sequential(stem, Widening(), Widening(), *end).eval()
    (group,) = trace(net, SHAPE).groups
    assert group.size == 24, "what both blocks widen to stands beside what they add to"
    spec = PruneSpec(mode="structured", depth=depth, sparsity=0.75, layers=prunable_layers(net))
    result = prune(net, spec, input_shape=SHAPE)
    gone = round(2 * depth)
    assert result.achieved.removed == 18 and result.achieved.total == 24 and result.proof.passed and not result.limits[1:]
    assert len(result.kept["0"]) <= 24 - 18 and len(result.kept["0"]) + (2 - gone) * 8 >= 24 - 18


def test_a_criterion_that_knows_blocks_alone_takes_blocks_alone():
    net = nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), Residual(6, 4), Residual(6, 3), nn.Conv2d(6, 7, 1), *chain()[1:-1], nn.Linear(7, 5)
    ).eval()
    spec = PruneSpec(mode="structured", criterion="bn_scale", depth=1.0)
    result = prune(net, spec, input_shape=SHAPE)
    assert result.plan.blocks == ("1", "2") and result.proof.passed
    assert any("bn_scale has nothing to score it by" in limit for limit in result.limits)


@given(st.floats(0.06, 0.9), st.floats(0, 0.9), st.sampled_from(["channels", "params", "macs"]), st.sampled_from(["global", "uniform"]))
def test_blocks_and_overrides_that_take_more_than_the_target_say_so_together(sparsity, share, target, scope):
    net, graph = four_blocks()
    spec = PruneSpec(mode="structured", blocks=["2"], overrides={"1.a": share}, sparsity=sparsity, target=target, scope=scope)
    ranking = ChannelRanking.of(net, spec, graph)
    fixed = ranking.overridden()[0]
    taken = Removal(graph, fixed, blocks=("2",))
    total = ranking.meter.total
    first = {"channels": fixed.size + ranking.inside, "params": taken.removed_params(ranking.shapes), "macs": taken.removed_macs()}[target]
    try:
        plan = ranking.cut()
    except OutOfReach as error:  # the other way: the bound counts what the blocks take
        limit = round(error.nearest * total)
        free = sum(group.size for group in ranking.groups if "1.a" not in group.layers)
        assert target == "channels" and limit == first + free < round(sparsity * total)
        return
    said = [sentence for sentence in plan.limits if "alone take" in sentence]
    assert bool(said) == (first > plan.wanted + TOLERANCE * total)
    assert not said or (
        f"alone take {ordinary(percent(first / total))}" in said[0] and not any("allow nothing nearer" in s for s in plan.limits)
    )
    assert first <= plan.wanted or set(plan.atoms.tolist()) == set(fixed.tolist())


def test_what_blocks_and_overrides_take_is_named_in_place_of_a_false_reason():
    net, graph = four_blocks()
    for target in ("channels", "params", "macs"):
        spec = PruneSpec(mode="structured", blocks=["2"], overrides={"1.a": 0.9, "3.a": 0.9}, sparsity=0.2, target=target)
        limits = ChannelRanking.of(net, spec, graph).cut().limits
        assert [s.partition(", and the ")[2].partition(" take ")[0] for s in limits if "asked for" in s] == ["blocks and overrides alone"]


@given(
    st.dictionaries(st.sampled_from(["1.a", "2.b", "3.a", "4.a", "0"]), st.sampled_from([0.0, 0.3, 0.999, 1.0]), max_size=5),
    st.floats(0.5, 1),
)
def test_no_block_goes_that_holds_a_layer_with_a_cap_of_its_own(caps, depth):
    net, graph = four_blocks()
    held = {layer[0] for layer, cap in caps.items() if cap < 1} - {"0"}
    spec = PruneSpec(mode="structured", depth=depth, caps=caps, sparsity=0.3)
    if len(held) == 4:
        with pytest.raises(PruningError, match="no block may go: each holds a layer with a cap"):
            ChannelRanking.of(net, spec, graph)
        return
    plan = ChannelRanking.of(net, spec, graph).cut()
    assert not held & set(plan.blocks) and len(plan.blocks) == math.floor(depth * (4 - len(held)) + 0.5)
    assert {said[0] for said in plan.limits if "in it has a cap of" in said} == held
    for name, (before, after) in plan.layer_shapes.items():
        assert before[0] - after[0] <= caps.get(name, 1.0) * before[0] + 1e-6


def test_a_cap_of_a_layer_in_a_named_block_is_refused_like_an_override_and_cap_all_is_not():
    net, graph = four_blocks()
    for field in ("caps", "overrides"):
        spec = PruneSpec(mode="structured", blocks=["2", "3"], sparsity=0.3, **{field: {"2.b" if field == "caps" else "2.a": 0.4}})
        with pytest.raises(PruningError, match=r"of 2\.[ab] cannot be honoured: it goes with its whole block"):
            ChannelRanking.of(net, spec, graph).cut()
    plan = ChannelRanking.of(net, PruneSpec(mode="structured", blocks=["2"], caps={"2.a": 1.0}, cap_all=0.4, sparsity=0.5), graph).cut()
    shapes = plan.layer_shapes.items()
    assert plan.blocks == ("2",)
    assert all(before[0] - after[0] <= 0.4 * before[0] for name, (before, after) in shapes if not name.startswith("2."))
