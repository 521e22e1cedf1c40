"""Who gives how much: Erdos-Renyi kernel, caps, and the sentences where a total is out of reach."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.errors import PruningError, SpecError
from prunekit.models.layers import prunable_layers, weight_of
from prunekit.pruning.unstructured.allocation import erk_counts, erk_densities, uniform_counts
from prunekit.pruning.unstructured.masks import Ranking
from tests.pruning.drawn import fill, fractions, gone, layers, sizes_of, slowest_cut, zeros_of

SCOPES = ("global", "uniform", "erk")
shapes = st.lists(st.lists(st.integers(1, 40), min_size=2, max_size=4).map(tuple), min_size=1, max_size=6).map(
    lambda found: {str(i): shape for i, shape in enumerate(found)}
)


def masks_of(net, spec):
    ranking = Ranking.of(net, spec)
    return ranking.masks(ranking.cut())


def by_the_paper(shapes, density):
    """Evci et al.: raise the layers that would be denser than dense out of the sum, one after the other, until none is left."""
    sizes = np.array([math.prod(shape) for shape in shapes])
    raw = np.array([sum(shape) for shape in shapes]) / sizes
    dense = np.zeros(len(shapes), bool)
    while True:
        left = density * sizes.sum() - sizes[dense].sum()
        found = np.where(dense, 1.0, raw * left / max((raw * sizes)[~dense].sum(), 1e-12))
        if (found <= 1 + 1e-12).all():
            return found
        dense |= found > 1 + 1e-12


@given(shapes, st.floats(0.001, 1))
def test_erk_densities_are_those_of_the_paper(shapes, density):
    found = np.array(list(erk_densities(shapes, density).values()))
    np.testing.assert_allclose(found, by_the_paper(list(shapes.values()), density), rtol=1e-7)
    sizes = np.array([math.prod(shape) for shape in shapes.values()])
    assert found.min() >= 0 and found.max() <= 1 and (found * sizes).sum() == pytest.approx(density * sizes.sum())


def test_erk_densities_at_both_ends():
    assert erk_densities({"a": (10, 10), "b": (2, 3, 3, 3)}, 1) == {"a": 1, "b": 1}
    assert erk_densities({"a": (10, 10), "b": (2, 3, 3, 3)}, 0) == {"a": 0, "b": 0}
    assert erk_densities({}, 0.5) == {}


@pytest.mark.parametrize(("bad", "density"), [((4,), 0.5), ((4, 0), 0.5), ((4, 4), 1.1), ((4, 4), -0.1), ((4, 4), math.nan)])
def test_erk_refuses_what_is_no_density_or_no_weight(bad, density):
    with pytest.raises(SpecError, match=r"density must be|shape of layer fc must be"):
        erk_densities({"fc": bad}, density)


@given(layers(), fractions)
def test_erk_counts_follow_the_densities_to_the_exact_total(net, sparsity):
    sizes, shapes = sizes_of(net), {name: tuple(weight_of(net, name).shape) for name in prunable_layers(net)}
    total = round(sparsity * sum(sizes.values()))
    wanted = (1 - by_the_paper(list(shapes.values()), 1 - total / sum(sizes.values()))) * np.array(list(sizes.values()))
    counts = np.floor(wanted + 1e-6)
    remainders = np.round(wanted - counts, 6)
    counts[np.lexsort((np.arange(len(counts)), -remainders))[: round(total - counts.sum())]] += 1  # largest remainder, ties by layer order
    assert list(gone(masks_of(net, PruneSpec(sparsity=sparsity, scope="erk"))).values()) == counts.tolist()


def test_equal_remainders_go_by_layer_order():
    shapes = {"a": (27, 6), "b": (14, 19)}  # both keep (162 + 266 - 219) / 2 = 104.5 weights
    assert erk_counts(219, shapes, {"a": 0, "b": 0}, {"a": 162, "b": 266}) == {"a": 58, "b": 161}


@given(layers(), fractions, st.data())
def test_erk_with_an_override_shares_the_rest_out_among_the_others(net, sparsity, data):
    names = prunable_layers(net)
    name, share = data.draw(st.sampled_from(names)), data.draw(fractions)
    sizes = sizes_of(net)
    rest = round(sparsity * sum(sizes.values())) - round(share * sizes[name])
    assume(0 <= rest <= sum(sizes.values()) - sizes[name])
    spec = PruneSpec(sparsity=sparsity, scope="erk", overrides={name: share})
    ranking = Ranking.of(net, spec)
    counts, asked = gone(masks_of(net, spec)), ranking.requested(spec)
    others = {other: weight_of(net, other).shape for other in names if other != name}
    assert counts.pop(name) == round(share * sizes[name]) and asked[name] == share
    for other, density in erk_densities(others, 1 - rest / max(sum(sizes[o] for o in others), 1)).items():
        assert abs(counts[other] - (1 - density) * sizes[other]) < 1 + 1e-6
        assert asked[other] == pytest.approx(1 - density, abs=1e-9)
    assert sum(counts.values()) == rest


# caps


@st.composite
def capped(draw, zeros=False):
    """A net, a setting with caps, and how many weights each layer may lose."""
    net = draw(layers(zeros=zeros))
    caps = draw(st.dictionaries(st.sampled_from(prunable_layers(net)), st.floats(0, 1)))
    spec = PruneSpec(sparsity=draw(fractions), caps=caps, cap_all=draw(st.one_of(st.none(), st.floats(0, 1))), criterion=draw(CRITERION))
    already = zeros_of(net)
    most = {name: max(math.floor(spec.cap(name) * size + 1e-9), already[name]) for name, size in sizes_of(net).items()}
    return net, spec, most


CRITERION = st.sampled_from(["l1", "random", "lamp"])


@given(capped(zeros=True))
def test_a_capped_global_cut_takes_the_lowest_of_the_layers_below_their_caps(drawn):
    net, spec, most = drawn
    total = max(round(spec.sparsity * sum(sizes_of(net).values())), sum(zeros_of(net).values()))
    ranking = Ranking.of(net, spec)
    slow = slowest_cut(ranking.scores.values(), total, list(most.values()))
    masks = ranking.masks(ranking.cut())
    assert all((mask.numpy().ravel() == keep).all() for mask, keep in zip(masks.values(), slow, strict=True))
    assert ranking.removed(ranking.cut()) == gone(masks)
    assert sum(gone(masks).values()) == min(total, sum(most.values()))


@given(capped(), st.sampled_from(["uniform", "erk"]))
def test_below_their_caps_layers_make_up_the_total(drawn, scope):
    net, spec, most = drawn
    sizes = sizes_of(net)
    free = gone(masks_of(net, PruneSpec(sparsity=spec.sparsity, scope=scope)))
    spec = PruneSpec(sparsity=spec.sparsity, scope=scope, caps=spec.caps, cap_all=spec.cap_all)
    ranking = Ranking.of(net, spec)
    masks = ranking.masks(ranking.cut())
    counts = gone(masks)
    assert ranking.removed(ranking.cut()) == counts and all(counts[name] <= most[name] for name in counts)
    if all(free[name] <= most[name] for name in free):  # no cap binds
        if scope == "uniform":
            assert counts == free
        assert max(abs(counts[name] - free[name]) for name in free) <= 1  # a cap below a rounded share may move one weight
        return
    total = min(round(spec.sparsity * sum(sizes.values())), sum(most.values()))
    assert sum(counts.values()) == total
    rate = {name: sum(weight_of(net, name).shape) if scope == "erk" else sizes[name] for name in sizes}
    open_layers = [name for name in counts if counts[name] < most[name]]
    levels = [((sizes[n] - counts[n] - 1) / rate[n], (sizes[n] - counts[n] + 1) / rate[n]) for n in open_layers if counts[n] > 0]
    assert all(low <= high + 1e-9 for low, _ in levels for _, high in levels)  # they keep in proportion, to one weight


@given(layers(zeros=True), st.floats(0, 6), st.floats(0, 1))
def test_under_a_threshold_each_layer_loses_its_lowest_up_to_its_cap(net, threshold, cap):
    ranking = Ranking.of(net, PruneSpec(threshold=threshold, cap_all=cap))
    masks = ranking.masks(ranking.cut())
    for name, scores in ranking.scores.items():
        most = max(math.floor(cap * scores.size + 1e-9), zeros_of(net)[name])
        (keep,) = slowest_cut([scores], min(most, int((scores < np.float32(threshold)).sum())), [most])
        assert (masks[name].numpy().ravel() == keep).all()
    assert ranking.removed(ranking.cut()) == gone(masks)
    beyond = any((scores < threshold).sum() > gone(masks)[name] for name, scores in ranking.scores.items())
    assert beyond == bool(ranking.limits(ranking.spec))


@given(layers(), fractions, st.sampled_from(SCOPES), CRITERION)
def test_caps_that_do_not_bind_change_nothing(net, sparsity, scope, criterion):
    free = masks_of(net, PruneSpec(sparsity=sparsity, scope=scope, criterion=criterion))
    capped = masks_of(net, PruneSpec(sparsity=sparsity, scope=scope, criterion=criterion, cap_all=1))
    assert all(bool((free[name] == capped[name]).all()) for name in free)


@given(capped(zeros=True), st.sampled_from(SCOPES), st.data())
def test_limits_speak_exactly_where_the_total_is_missed(drawn, scope, data):
    net, spec, most = drawn
    name = data.draw(st.sampled_from(prunable_layers(net)))
    overrides = {name: data.draw(fractions) * spec.cap(name) * 0.999} if data.draw(st.booleans()) else {}
    spec = PruneSpec(sparsity=spec.sparsity, scope=scope, caps=spec.caps, cap_all=spec.cap_all, overrides=overrides)
    ranking = Ranking.of(net, spec)
    try:
        counts = ranking.removed(ranking.cut())
    except PruningError:
        with pytest.raises(PruningError):
            ranking.limits(spec)
        return
    assert all(counts[layer] <= most[layer] for layer in counts)
    asked, got = round(spec.sparsity * sum(sizes_of(net).values())), sum(counts.values())
    said = " ".join(ranking.limits(spec))
    if said:
        assert f"{asked:,} of " in said and f" {got:,} {'can go' if got < asked else 'go'}: " in said
    elif len(overrides) == len(counts):  # the overrides are the total, each rounded by itself: of two weights half is one
        assert abs(got - asked) <= 1 + len(overrides) / 2
    elif scope == "uniform":  # without a bound in the way each share is rounded by itself
        assert abs(got - asked) <= len(counts)
    else:
        assert got == asked


def linears(*widths):
    return fill(nn.Sequential(*(nn.Linear(a, a) for a in widths)), 0, 1000)


def test_a_total_that_caps_prevent_is_said_with_the_layers_that_they_hold():
    net = linears(100, 100, 200)
    spec = PruneSpec(sparsity=0.9, caps={"0": 0.5, "1": 0.5, "2": 0.75})
    ranking = Ranking.of(net, spec)
    assert ranking.removed(ranking.cut()) == {"0": 5000, "1": 5000, "2": 30000}
    assert ranking.limits(spec) == ("54,000 of 60,000 weights were asked for, 40,000 can go: the caps hold 0 and 1 at 50 %, 2 at 75 %",)
    assert ranking.limits(spec.at(0.5)) == ()


def test_equal_scores_beyond_a_cap_pass_on_to_the_next_layer():
    net = fill(nn.Sequential(nn.Linear(10, 10), nn.Linear(10, 10)), 0, 1)
    masks = masks_of(net, PruneSpec(sparsity=0.5, caps={"0": 0.3}))
    for name, count in {"0": 30, "1": 70}.items():
        assert bool((~masks[name].flatten()[:count]).all()) and bool(masks[name].flatten()[count:].all())


def test_many_capped_layers_are_counted_rather_than_named():
    spec = PruneSpec(sparsity=0.9, cap_all=1 / 3)
    (said,) = Ranking.of(linears(*[3] * 9), spec).limits(spec)
    assert said == "73 of 81 weights were asked for, 27 can go: the caps hold 0, 1, 2, 3, 4 and 4 more at 33.33 %"


def test_an_override_beside_a_cap_is_named_too():
    spec = PruneSpec(sparsity=0.5, cap_all=0.5, overrides={"1": 0.2})
    ranking = Ranking.of(linears(10, 10), spec)
    assert ranking.removed(ranking.cut()) == {"0": 50, "1": 20}
    assert ranking.limits(spec) == ("100 of 200 weights were asked for, 70 can go: the caps hold 0 at 50 %, the overrides hold 1 at 20 %",)


def test_an_override_that_is_met_by_zeros_makes_no_total_impossible():
    net = linears(10, 10)
    with torch.no_grad():
        net[0].weight[:5] = 0
    spec = PruneSpec(sparsity=0.1, overrides={"0": 0.5})
    ranking = Ranking.of(net, spec)
    assert ranking.removed(ranking.cut()) == {"0": 50, "1": 0}
    assert ranking.limits(spec) == ("20 of 200 weights were asked for, 50 go: 50 are zero already and stay so",)


def test_rounded_shares_remove_no_more_than_is_asked_or_zero_already():
    net = fill(nn.Sequential(nn.Linear(1, 1), nn.Linear(2, 1), nn.Linear(2, 1)), 0, 1000)
    with torch.no_grad():
        net[1].weight[0, 0] = net[2].weight[0] = 0
    spec = PruneSpec(sparsity=0, scope="uniform", overrides={"0": 0})
    ranking = Ranking.of(net, spec)
    assert ranking.removed(ranking.cut()) == {"0": 0, "1": 1, "2": 2}  # three quarters of each would round to 2 and 2


def test_an_override_rounded_up_does_not_break_its_cap():
    net = fill(nn.Sequential(nn.Linear(3, 1)), 0, 1000)
    spec = PruneSpec(sparsity=0.5, caps={"0": 0.5}, overrides={"0": 0.5})
    ranking = Ranking.of(net, spec)
    assert ranking.removed(ranking.cut()) == {"0": 1}
    assert ranking.limits(spec) == ("2 of 3 weights were asked for, 1 can go: the caps hold 0 at 50 %",)


def test_a_cap_saves_weights_from_a_threshold_and_says_so():
    net = linears(10, 10)
    spec = PruneSpec(threshold=2000, caps={"1": 0.3})
    ranking = Ranking.of(net, spec)
    assert ranking.removed(ranking.cut()) == {"0": 100, "1": 30}
    assert ranking.limits(spec) == ("the caps keep weights that score below the threshold: 1 loses 30 of 100",)


def test_a_cap_of_an_unknown_layer_is_refused_and_a_cap_chooses_no_layer():
    net = linears(4, 4)
    with pytest.raises(PruningError, match=r"no prunable layer named gone.*are 0, 1"):
        Ranking.of(net, PruneSpec(caps={"gone": 0.5}))
    assert list(Ranking.of(net, PruneSpec(layers=("0",), caps={"1": 0.5})).scores) == ["0"]


@given(st.dictionaries(st.text(), st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50)), min_size=1), st.floats(0, 1))
def test_counts_within_any_bounds_reach_any_total_between_them(bounds, where):
    low, high, sizes = ({name: sorted(three)[i] for name, three in bounds.items()} for i in (0, 1, 2))
    total = round(sum(low.values()) + where * (sum(high.values()) - sum(low.values())))
    counts = uniform_counts(total, sizes, low, high)
    assert sum(counts.values()) == total and all(low[name] <= counts[name] <= high[name] for name in bounds)
