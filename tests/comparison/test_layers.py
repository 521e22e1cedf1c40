"""Overlap of masks against plain counting, and chance against all selections there are."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prunekit import PruneSpec, load_model, prune
from prunekit.comparison.layers import ALL, Counts, channel_overlap, layer_frame, overlap, shared, weight_bins
from prunekit.errors import PrunekitError
from prunekit.experiments.run_structure import Structure, of_masks, of_removal
from prunekit.pruning.structured.grouping import trace

SHAPES = {"a": (4, 3), "b": (2, 2, 3)}


@st.composite
def structures(draw: Any) -> dict[str, Structure]:
    found = {}
    for letter in "ABC"[: draw(st.integers(2, 3))]:
        rng = np.random.default_rng(draw(st.integers(0, 999)))
        density = draw(st.sampled_from([0.0, 0.2, 0.7, 1.0]))
        masks = {name: torch.from_numpy(rng.random(shape) < density) for name, shape in SHAPES.items()}
        found[letter] = Structure(masks, None, {name: (shape[0], shape[0]) for name, shape in SHAPES.items()})
    return found


@given(structures())
def test_both_either_and_jaccard_are_those_of_sets(found: dict[str, Structure]) -> None:
    frame = overlap(found)
    pairs = list(combinations(found, 2))
    assert list(dict.fromkeys(zip(frame["first"], frame["second"], strict=True))) == pairs
    for first, second in pairs:
        sets = {
            name: [{(name, i) for i in np.flatnonzero(found[letter].masks[name].numpy())} for letter in (first, second)] for name in SHAPES
        }
        touched = [name for name, shape in SHAPES.items() if min(map(len, sets[name])) < np.prod(shape)]
        rows = frame[(frame["first"] == first) & (frame["second"] == second)].set_index("layer")
        assert list(rows.index) == [*touched, ALL]
        sets[ALL] = [set().union(*(sets[name][k] for name in touched)) for k in (0, 1)]
        for name in rows.index:
            one, other = sets[name]
            assert (rows.loc[name, "both"], rows.loc[name, "either"]) == (len(one & other), len(one | other))
            assert (
                np.isnan(rows.loc[name, "jaccard"]) if not one | other else rows.loc[name, "jaccard"] == len(one & other) / len(one | other)
            )


@given(st.integers(1, 7), st.data())
def test_chance_is_the_mean_over_all_selections_of_these_sizes(n: int, data: Any) -> None:
    first, second = data.draw(st.integers(0, n)), data.draw(st.integers(0, n))
    if not first + second:
        assert np.isnan(shared([Counts(n, 0, 0, 0)]).expected)
        return
    fixed = set(range(first))
    each = [len(fixed & set(other)) / len(fixed | set(other)) for other in combinations(range(n), second)]
    assert shared([Counts(n, first, second, 0)]).expected == pytest.approx(np.mean(each))


def test_chance_over_many_weights_is_what_random_masks_share() -> None:
    rng = np.random.default_rng(0)
    one, other = (rng.random((2, 30_000)).argsort(axis=1) < np.array([[12_000], [12_000]]) for _ in range(2))
    parts = [Counts(30_000, 12_000, 12_000, int((a & b).sum())) for a, b in zip(one, other, strict=True)]
    for told in (shared(parts), shared(parts[:1])):
        assert told.expected == pytest.approx(told.jaccard, abs=0.01)


def test_runs_of_which_it_is_not_known_what_stays_are_left_out() -> None:
    model = load_model("digits_mlp")
    whole = of_masks(model, {})
    frame = overlap({"A": Structure({}, None, whole.widths), "B": whole, "C": of_masks(model, prune(model, PruneSpec()).masks or {})})
    assert set(frame["first"]) == {"B"} and set(frame["second"]) == {"C"}


def test_layers_that_shrink_together_count_once() -> None:
    model = load_model("digits_cnn")
    graph = trace(model)
    found = {}
    for letter, sparsity in (("A", 0.5), ("B", 0.25)):
        result = prune(model, PruneSpec(mode="structured", sparsity=sparsity))
        assert result.plan is not None
        found[letter] = of_removal(model, result.plan)
    found["C"] = of_masks(model, {})
    by_layer, by_group = channel_overlap(found), channel_overlap(found, graph.groups)
    assert set(by_group["first"]) == {"A"} and set(by_group["second"]) == {"B"}  # masks remove no channels
    assert set(by_group["layer"]) <= {group.id for group in graph.groups} | {ALL} | set(by_layer["layer"])
    kept = {letter: found[letter].kept or {} for letter in "AB"}
    for row in by_layer[by_layer["layer"] != ALL].itertuples():
        one, other = (set(kept[letter][row.layer].tolist()) for letter in "AB")
        assert (row.both, row.either) == (len(one & other), len(one | other))
    twins = {layer for group in graph.groups for layer in group.layers[1:]}
    assert not twins & set(by_group["layer"])


@given(structures())
def test_a_layer_table_counts_what_stays(found: dict[str, Structure]) -> None:
    dense = Structure({name: torch.ones(shape, dtype=torch.bool) for name, shape in SHAPES.items()}, None, found["A"].widths)
    frame = layer_frame(found, dense)
    assert list(dict.fromkeys(frame["layer"])) == list(SHAPES) and set(frame["letter"]) == {"Dense", *found}
    for row in frame.itertuples():
        mask = {"Dense": dense, **found}[row.letter].masks[row.layer].numpy()
        assert (row.weights, row.kept) == (mask.size, mask.sum()) and row.sparsity == pytest.approx((~mask).mean())
        assert (row.width_before, row.width_after) == (len(mask), len(mask))


def test_widths_are_known_where_masks_are_not() -> None:
    known = of_masks(load_model("digits_mlp"), {})
    unknown = Structure({}, None, {layer: (before, 1) for layer, (before, _) in known.widths.items()})
    frame = layer_frame({"A": unknown}, known).set_index(["letter", "layer"])
    assert (frame.loc["A", "width_after"] == 1).all() and frame.loc["A", "kept"].isna().all() and frame.loc["A", "sparsity"].isna().all()
    assert (frame.loc["A", "weights"] == frame.loc["Dense", "weights"]).all()


def test_weights_of_all_runs_fall_into_one_set_of_bins_and_zeros_apart() -> None:
    dense = load_model("digits_mlp")
    masked = prune(dense, PruneSpec(sparsity=0.7)).model
    frame = weight_bins({"Dense": dense, "A": masked}, bins=20)
    zeros, bins = frame[frame["left"] == frame["right"]], frame[frame["left"] < frame["right"]]
    edges = {letter: list(zip(part["left"], part["right"], strict=True)) for letter, part in bins.groupby("letter")}
    assert edges["A"] == edges["Dense"] and len(edges["A"]) == 20
    for letter, model in (("Dense", dense), ("A", masked)):
        values = np.concatenate([module.weight.numpy().reshape(-1) for module in model.modules() if hasattr(module, "weight")])
        assert zeros.set_index("letter").loc[letter, "count"] == (values == 0).sum()
        part = bins[bins["letter"] == letter]
        assert part["count"].sum() == (values != 0).sum()
        low, high, count = part[["left", "right", "count"]].iloc[7]
        assert count == ((values.astype(float) >= low) & (values.astype(float) < high) & (values != 0)).sum()
    with pytest.raises(PrunekitError, match="no prunable layer nowhere"):
        weight_bins({"A": masked}, ["nowhere"])
