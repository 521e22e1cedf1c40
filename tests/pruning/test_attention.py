"""Attention, layer norms and group norms: whole heads, the same dimensions of every head, channels under statistics."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import ProofError, PruningError
from prunekit.models.attention.heads import DENSE, adapt, adapter_of, adapters, heads_of
from prunekit.models.cost import count
from prunekit.models.layers import prunable_layers
from prunekit.models.rebuilding import apply_widths
from prunekit.models.widths import widths
from prunekit.pruning.api import prune
from prunekit.pruning.execution import planned_counts
from prunekit.pruning.layer_selection import chosen_layers
from prunekit.pruning.masked_reference import reference
from prunekit.pruning.proof import prove
from prunekit.pruning.proof_inputs import randomise
from prunekit.pruning.structured.grouping import trace
from prunekit.pruning.structured.plan import Removal
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.structured.surgery import shrink
from tests.held import held
from tests.transformers import CLASSES, NETS, SHAPE, build

ATTENTION = ("vit", "swin", "swin_v2", "maxvit", "encoder")


def random_removal(graph, seed, kinds=("channels", "heads", "head dimensions")):
    """Take another random share of every group, never all of it."""
    noise = np.random.default_rng(seed)
    chosen = [g for g in graph.groups if g.kind in kinds and noise.random() > 0.2]
    picked = [noise.permutation(g.atoms)[: int(noise.uniform(0.1, 0.9) * g.size)] for g in chosen or graph.groups[:1]]
    return Removal(graph, np.concatenate(picked))


def step(model):
    """Take one step of training; return the gradients."""
    torch.manual_seed(0)
    model.train().requires_grad_(True)
    nn.functional.cross_entropy(model(torch.randn(2, *SHAPE)), torch.tensor([1, 4])).backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return [p.grad for p in model.parameters()]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", NETS)
def test_uneven_random_counts_are_proved_counted_and_train(name, seed):
    model, graph = held(name)
    assert not graph.limits
    removal = random_removal(graph, seed)
    assert prove(model, removal, batch=2).passed
    small = shrink(model, removal)
    assert type(small) is type(model)
    before, after = count(model, SHAPE), count(small, SHAPE)
    assert planned_counts(model, removal, before) == (after.params, after.macs) and after.params < before.params
    with torch.inference_mode():
        assert [tuple(small(torch.zeros(n, *SHAPE)).shape) for n in (1, 2)] == [(1, CLASSES), (2, CLASSES)]
    assert all(grad is not None and bool(torch.isfinite(grad).all()) for grad in step(small))


@pytest.mark.parametrize("name", NETS)
def test_a_smaller_model_pickles_copies_and_is_rebuilt_from_its_widths(name):
    model, graph = held(name)
    small = shrink(model, random_removal(graph, 4)).eval()
    rebuilt = build(name)
    apply_widths(rebuilt, widths(small), small.state_dict())
    rebuilt.load_state_dict(small.state_dict())
    x = torch.randn(2, *SHAPE)
    with torch.inference_mode():
        expected = small(x)
        for other in (copy.deepcopy(small), pickle.loads(pickle.dumps(small)), rebuilt):
            torch.testing.assert_close(other(x), expected, rtol=1e-5, atol=1e-6)
    assert widths(rebuilt) == widths(small)


@pytest.mark.parametrize("name", NETS)
def test_a_smaller_model_is_pruned_again(name):
    model, whole = held(name)
    small = shrink(model, random_removal(whole, 5))
    graph = trace(small, SHAPE)
    again = random_removal(graph, 6)
    assert not graph.limits and again.atoms.size and prove(small, again).passed
    assert {g.kind for g in graph.groups} == {g.kind for g in whole.groups}


@pytest.mark.parametrize("name", ATTENTION)
def test_heads_go_whole_and_every_head_that_stays_keeps_the_same_dimensions(name):
    model, graph = held(name)
    for kinds in (("heads",), ("head dimensions",), ("heads", "head dimensions")):
        removal = random_removal(graph, 7, kinds)
        small = shrink(model, removal)
        changed = []
        for path, module, known in adapters(model):
            heads, width = heads_of(module, known)
            keep = removal.masks.get((f"{path}.{known.rows}", 0))
            rows = np.ones(3 * heads * width, bool) if keep is None else keep
            parts = rows.reshape(3, heads, width)
            alive = parts.any((0, 2))
            assert (parts[:, alive] == parts[:1, alive][:, :1]).all()
            found = heads_of(small.get_submodule(path), known)
            assert found == (alive.sum(), parts[0, alive][0].sum())
            changed.append((found[0] < heads, found[1] < width))
        assert (any(a for a, _ in changed), any(b for _, b in changed)) == ("heads" in kinds, "head dimensions" in kinds)
        assert prove(model, removal).passed


@pytest.mark.parametrize("name", ATTENTION)
def test_an_adapter_from_which_nothing_went_computes_what_the_dense_module_does(name):
    model = randomise(build(name))
    other = copy.deepcopy(model)
    for _, module, known in adapters(other):
        heads, width = heads_of(module, known)
        adapt(module, known, heads, width, width)
        assert hasattr(module, DENSE) and adapter_of(module) is known
    x = torch.randn(2, *SHAPE)
    with torch.no_grad():
        torch.testing.assert_close(other(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("weights", [True, False])
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("masks", ["none", "bool", "float", "heads", "padding"])
def test_the_adapter_of_multihead_attention_takes_every_mask(masks, batch_first, weights):
    torch.manual_seed(1)
    dense = nn.MultiheadAttention(12, 3, batch_first=batch_first).eval()
    other = copy.deepcopy(dense)
    adapt(other, adapter_of(other), 3, 4, 4)
    q, k = torch.randn(2, 5, 12), torch.randn(2, 6, 12)
    q, k = (q, k) if batch_first else (q.transpose(0, 1), k.transpose(0, 1))
    closed = torch.rand(5, 6) > 0.7
    given = {
        "none": {},
        "bool": {"attn_mask": closed},
        "float": {"attn_mask": torch.randn(5, 6)},
        "heads": {"attn_mask": torch.randn(6, 5, 6)},
        "padding": {"key_padding_mask": torch.tensor([[False] * 6, [False] * 4 + [True] * 2]), "attn_mask": closed},
    }[masks]
    for average in (True, False):
        options = {"need_weights": weights, "average_attn_weights": average, **given}
        (a, wa), (b, wb) = dense(q, k, k, **options), other(q, k, k, **options)
        torch.testing.assert_close(a, b)
        assert (wa is None) == (wb is None) == (not weights)
        if weights:
            torch.testing.assert_close(wa, wb)


def test_the_adapter_of_multihead_attention_takes_one_sample_without_a_batch():
    dense = nn.MultiheadAttention(12, 3).eval()
    other = copy.deepcopy(dense)
    adapt(other, adapter_of(other), 3, 4, 4)
    x = torch.randn(5, 12)
    for a, b in zip(dense(x, x, x), other(x, x, x), strict=True):
        torch.testing.assert_close(a, b)


class OtherKeys(nn.Module):
    def __init__(self, keys=12, **options):
        super().__init__()
        self.a, self.keys, self.b = nn.Linear(6, 12), nn.Linear(6, keys), nn.Linear(12, 8)
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True, kdim=keys, vdim=keys, **options)
        self.last = nn.Linear(8, 4)

    def forward(self, x):
        q, k = self.a(x), self.keys(x)
        return self.last(torch.relu(self.b(self.attention(q, k, k, need_weights=False)[0] + q)))


@pytest.mark.parametrize("options", [{"add_bias_kv": True}, {"add_zero_attn": True}, {"keys": 10}])
def test_attention_that_no_adapter_knows_stays_whole(options):
    model = OtherKeys(**options).eval()
    graph = trace(model, (5, 6))
    assert [group.layers for group in graph.groups] == [("b",)]
    assert "not supported" in graph.immovable["a"]
    assert prove(model, Removal(graph, graph.groups[0].atoms[::3])).passed


def test_the_reference_of_a_layer_norm_takes_statistics_over_what_stays():
    model = nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Linear(8, 3)).eval()
    graph = trace(model, (5,))
    removal = Removal(graph, graph.groups[0].atoms[[1, 4]])
    keep = [0, 2, 3, 5, 6, 7]
    x = torch.randn(2, 5)
    hidden = nn.functional.linear(x, model[0].weight[keep], model[0].bias[keep])
    hidden = nn.functional.layer_norm(hidden, (6,), model[1].weight[keep], model[1].bias[keep])
    expected = nn.functional.linear(hidden, model[2].weight[:, keep], model[2].bias)
    torch.testing.assert_close(reference(model, removal, x)[0], expected)


def plan_of(name):
    """Return a network and the removal of half of every group: every other unit at first, neighbours at the end."""
    model, graph = held(name)
    halves = [g.atoms[np.r_[0 : g.size // 2 : 2, g.size - (g.size // 2 - len(range(0, g.size // 2, 2))) : g.size]] for g in graph.groups]
    return model, Removal(graph, np.concatenate(halves))


def changed(plan, change):
    """Return a surgery whose masks were changed."""

    def surgery(model, plan):
        wrong = dataclasses.replace(plan)
        wrong.__dict__["masks"] = {axis: change(axis, keep) for axis, keep in plan.masks.items()}
        return shrink(model, wrong)

    return surgery


BUGS = {
    "the position table is off by one channel": ("vit", "pos_embedding", 2),
    "the class token is off by one channel": ("vit", "class_token", 2),
    "a layer norm's scale is off by one channel": ("vit", "ln_1.weight", 0),
    "the projection reads the wrong dimensions": ("vit", "out_proj.weight", 1),
    "the bias of queries, keys and values is off by one": ("vit", "in_proj_bias", 0),
    "the table of relative positions is off by one head": ("swin", "relative_position_bias_table", 1),
    "patch merging reads the wrong channels": ("swin", "reduction.weight", 1),
    "the scale of the cosines is off by one head": ("swin_v2", "logit_scale", 0),
    "the table made by the small network is off by one head": ("swin_v2", "cpb_mlp.2.weight", 0),
    "the layer scale is off by one channel": ("convnext", "layer_scale", 0),
    "a group norm's shift is off by one channel": ("grouped", "norm.bias", 0),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_mask_that_is_off_by_one_fails_the_proof(bug):
    name, part, axis = BUGS[bug]
    model, plan = plan_of(name)
    hit = [key for key in plan.masks if key[0].endswith(part) and key[1] == axis]
    assert hit and prove(model, plan).passed
    proof = prove(model, plan, surgery=changed(plan, lambda key, keep: np.roll(keep, 1) if key in hit else keep))
    assert not proof.passed


@pytest.mark.parametrize("name", ATTENTION)
def test_a_stale_number_of_heads_fails_the_proof(name):
    model, graph = held(name)
    heads = [g for g in graph.groups if g.kind == "heads"]
    removal = Removal(graph, np.concatenate([g.atoms[: g.size // 2] for g in heads if g.size % 2 == 0]))
    assert prove(model, removal).passed

    def stale(model, plan):
        small = shrink(model, plan)
        for (_, module, known), (_, old, _) in zip(adapters(small), adapters(model), strict=True):
            rows = module.get_parameter(known.rows).shape[0] // 3
            before, _ = heads_of(old, known)
            if hasattr(module, DENSE) and rows % before == 0:
                adapt(module, known, before, rows // before, getattr(module, DENSE))
        return small

    if name in ("vit", "encoder"):  # the others' tables of positions no longer fit
        assert not prove(model, removal, surgery=stale).passed
    else:
        with pytest.raises(ProofError, match="does not run"):
            prove(model, removal, surgery=stale)


# the cosines of swin_v2 have a scale of their own, and maxvit's is that of the embedding, which no surgery touches
@pytest.mark.parametrize("name", ["vit", "swin", "encoder"])
def test_logits_scaled_by_the_new_width_fail_the_proof(name):
    model, graph = held(name)
    removal = random_removal(graph, 3, ("head dimensions",))

    def rescaled(model, plan):
        small = shrink(model, plan)
        for _, module, known in adapters(small):
            if hasattr(module, DENSE):
                setattr(module, DENSE, getattr(module, known.width))
        return small

    assert prove(model, removal).passed and not prove(model, removal, surgery=rescaled).passed


def test_a_stale_number_of_groups_fails_the_proof():
    model, graph = held("grouped")
    groups = next(g for g in graph.groups if g.layers == ("stem",) and g.size == 6)
    removal = Removal(graph, groups.atoms[:3])

    def stale(model, plan):
        small = shrink(model, plan)
        small.norm.num_groups = 6
        return small

    assert prove(model, removal).passed and not prove(model, removal, surgery=stale).passed


def test_frozen_parameters_prune_like_any_other():
    graph = trace(build("vit").requires_grad_(False), SHAPE)
    removal = random_removal(graph, 2)
    small = shrink(build("vit").requires_grad_(False), removal)
    assert removal.atoms.size and not any(p.requires_grad for p in small.parameters())
    model, other = held("vit")
    assert widths(small) == widths(shrink(model, random_removal(other, 2)))


def test_attention_is_chosen_with_the_layer_behind_it_and_scored_by_its_own_rows():
    model = build("vit")
    layer = "encoder.layers.encoder_layer_1.self_attention"
    result = prune(model, PruneSpec(mode="structured", sparsity=0.5, layers=(f"{layer}.out_proj",)), input_shape=SHAPE)
    assert result.proof.passed and {group.layers for group in result.plan.groups} == {(layer,)}
    rows = model.get_submodule(layer).in_proj_weight.abs().sum(1).reshape(3, 4, 6)
    heads = [g for g in result.plan.groups if g.kind == "heads"]
    ranking = ChannelRanking.of(model, result.spec, result.plan.graph)
    expected = rows.mean((0, 2)) / rows.mean()
    np.testing.assert_allclose(ranking.scores[heads[0].id], expected.detach().numpy(), rtol=1e-5)


KINDS = ("channels", "heads", "head dimensions")


def touched(result):
    """Return the kinds of the groups that lost something."""
    gone = set(result.plan.atoms.tolist())
    return {group.kind for group in result.plan.graph.groups if gone & set(group.atoms.tolist())}


@pytest.mark.parametrize("units", [("heads",), ("head dimensions",), ("channels",), ("channels", "heads")])
@pytest.mark.parametrize("name", ["vit", "swin"])
def test_only_units_of_the_chosen_kinds_go_and_the_others_are_named(name, units):
    result = prune(build(name), PruneSpec(mode="structured", sparsity=0.5, units=units), input_shape=SHAPE)
    assert touched(result) == set(units) and result.proof.passed
    for kind in KINDS:
        assert any(said.startswith(f"all {kind} of ") for said in result.limits) == (kind not in units)
    assert result.achieved.total == sum(g.size for g in result.plan.groups) and {g.kind for g in result.plan.groups} == set(units)


def test_without_a_choice_of_units_every_kind_goes():
    assert touched(prune(build("vit"), PruneSpec(mode="structured", sparsity=0.5), input_shape=SHAPE)) == set(KINDS)


def test_units_that_a_model_does_not_have_are_an_error_that_says_what_to_choose():
    with pytest.raises(PruningError, match=r"nothing can be removed.*all channels of .* stay.*Choose other units"):
        prune(build("grouped"), PruneSpec(mode="structured", units=("heads",)), input_shape=SHAPE)


def test_an_override_of_a_layer_whose_units_are_left_out_is_an_error():
    spec = PruneSpec(mode="structured", units=("heads",), overrides={"encoder.layers.encoder_layer_0.mlp.0": 0.5})
    with pytest.raises(PruningError, match=r"override of .* cannot be honoured: the setting's units leave it out"):
        prune(build("vit"), spec, input_shape=SHAPE)


def test_attention_that_holds_its_weight_is_chosen_with_the_layer_behind_it_or_by_name():
    model = build("vit")
    first, second = (f"encoder.layers.encoder_layer_{i}" for i in (0, 1))

    def chosen(*layers, **more):
        spec = PruneSpec(mode="structured", layers=layers or None, **more)
        return {name for name in chosen_layers(model, spec) if name.endswith("self_attention")}

    both = {f"{block}.self_attention" for block in (first, second)}
    assert chosen() == both == chosen(overrides={f"{first}.self_attention": 0.25})
    assert chosen(f"{second}.self_attention.out_proj") == {f"{second}.self_attention"}
    rest = [name for name in prunable_layers(model) if name not in both]
    assert chosen(*rest, f"{first}.self_attention") == {f"{first}.self_attention"}
    for layer in (f"{first}.self_attention", f"{first}.self_attention.out_proj"):  # of single weights, each is itself
        assert chosen_layers(model, PruneSpec(layers=(layer,))) == (layer,)


def test_an_override_of_attention_is_shared_by_its_heads_and_their_dimensions():
    layer = "encoder.layers.encoder_layer_0.self_attention"
    result = prune(build("vit"), PruneSpec(mode="structured", sparsity=0.3, overrides={layer: 0.5}), input_shape=SHAPE)
    gone = set(result.plan.atoms.tolist())
    counts = {g.kind: len(gone & set(g.atoms.tolist())) for g in result.plan.groups if layer in g.layers}
    assert counts == {"heads": 1, "head dimensions": 2} and result.proof.passed  # of 4 and 6: 3/4 of 4/6 is half
    assert next(found for found in result.layers if found.name == layer).sparsity == pytest.approx(0.5)
