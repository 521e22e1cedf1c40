"""Every answer is what the core, asked on another way, or plain numpy gives."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import prunekit
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.lessons import cliff, fragile, layer
from prunekit.lessons.course import answer_of
from prunekit.lessons.lesson import LESSONS
from prunekit.models.layers import prunable_layers
from prunekit.models.state import state_hash
from prunekit.pruning.unstructured.masks import masked_copy
from prunekit.training.fine_tuning import fine_tune
from prunekit.ui.state.address import decode, encode
from prunekit.ui.state.settings import Settings


def weight(model, name: str) -> np.ndarray:
    return model.get_submodule(name).weight.detach().numpy().astype(np.float64)


@pytest.mark.parametrize("below", [1, 10, 50])
def test_the_share_of_small_weights_is_counted(cnn, below: int) -> None:
    sizes = np.abs(np.concatenate([weight(cnn, name).reshape(-1) for name in ("conv1", "conv2", "fc1", "fc2")]))
    small = sizes < below / 100 * sizes.max()
    found = answer_of(1, below=below)
    assert found.value == pytest.approx(100 * small.mean())
    assert found.numbers["strength"] == pytest.approx((sizes[small] ** 2).sum() / (sizes**2).sum())
    assert f"{small.sum():,} of {sizes.size:,} weights" in found.sentences[0]
    assert found.frames["histogram"]["count"].sum() == sizes.size
    assert found.frames["layers"].small.sum() == small.sum()


def test_one_layer_has_a_bound_of_its_own(cnn) -> None:
    sizes = np.abs(weight(cnn, "fc2")).reshape(-1)
    assert answer_of(1, layer="fc2").value == pytest.approx(100 * (sizes < 0.1 * sizes.max()).mean())


@given(st.sets(st.integers(0, 24)))
def test_no_choice_of_as_many_weights_keeps_more_strength_than_the_smallest_gone(cells: set[int]) -> None:
    squares = weight(prunekit.load_model("digits_mlp"), "fc3")[:5, :5].reshape(-1) ** 2
    found = answer_of(2, cells=tuple(cells))
    kept = np.delete(squares, list(cells)).sum() / squares.sum()
    best = np.sort(squares)[len(cells) :].sum() / squares.sum()
    assert found.numbers["yours"] == pytest.approx(kept, abs=1e-9)
    assert found.value == pytest.approx(100 * best, abs=1e-6)
    assert (~found.frames["cells"].best).sum() == len(cells)
    assert kept <= best + 1e-9


def test_of_a_thousand_weights_three_hundred_are_left_and_the_shape_stays() -> None:
    found = answer_of(3)
    sizes = np.abs(weight(prunekit.load_model("digits_mlp"), "fc3")).reshape(-1)
    kept = found.frames["weights"].kept.to_numpy()
    assert (sizes.size, kept.sum()) == (1000, 300)
    assert sizes[kept].min() >= sizes[~kept].max()
    assert found.value == layer.SAME
    assert "1,000 weights less 700 leave 300, and the matrix is still 10 x 100" in found.sentences[0]


@pytest.mark.parametrize("sparsity", [0, 30, 70, 95])
def test_a_layer_is_stored_in_as_many_bytes_as_its_formats_take(sparsity: int) -> None:
    found = answer_of(3, sparsity=sparsity)
    left = 1000 - 10 * sparsity
    stored = found.frames["storage"].set_index("format")["bytes"]
    assert stored["dense"] == 4000
    assert stored["bitmap"] == 125 + 4 * left
    assert found.numbers["best_bytes"] == stored.min()
    cheap = stored.drop("gzip").min()
    assert ("no sparse format is smaller" in found.sentences[1].lower()) == (cheap == 4000)
    assert ("gzip takes" in found.sentences[1].lower()) == (stored["gzip"] < 4000)
    assert found.sentences[1].lower().startswith("gzip") == (stored["gzip"] < cheap), "the smallest first"


def test_gzip_of_a_layer_is_what_the_sizes_of_a_model_are_measured_with() -> None:
    model = prunekit.load_model("digits_mlp")
    alone = torch.nn.Linear(100, 10, bias=False)
    with torch.no_grad():
        alone.weight.copy_(prunekit.prune(model, prunekit.PruneSpec(sparsity=0.7, layers=("fc3",))).model.fc3.weight)
    stored = answer_of(3, sparsity=70).frames["storage"].set_index("format")["bytes"]
    assert stored["gzip"] == pytest.approx(prunekit.evaluation.sizes(alone).gzip, abs=150), "but for the file's header"


@pytest.mark.parametrize("criterion", ["l1", "random"])
def test_the_cliff_is_the_first_place_where_too_many_images_are_lost(cnn, data, criterion: str) -> None:
    found = answer_of(4, criterion=criterion, drop=5)
    shares = [share / 100 for share in cliff.GRID]
    masks = prunekit.masks_at(cnn, prunekit.PruneSpec(criterion=criterion), shares)
    right = [int(prunekit.evaluate(masked_copy(cnn, mask), data.validation).correct.sum()) for mask in masks]
    beyond = next(i for i, n in enumerate(right) if (right[0] - n) * 100 > 5 * len(data.validation))
    assert found.value == pytest.approx(100 * shares[beyond - 1])
    assert found.frames["curve"].accuracy.to_numpy() == pytest.approx(np.array(right) / len(data.validation))


def test_the_cliff_is_confirmed_on_the_test_images(cnn, data) -> None:
    found = answer_of(4)
    pruned = prunekit.prune(cnn, prunekit.PruneSpec(sparsity=found.value / 100)).model
    before, after = prunekit.evaluate(cnn, data.test), prunekit.evaluate(pruned, data.test)
    assert found.numbers["test_change"] == pytest.approx(after.value - before.value)
    assert ("not significant" in found.sentences[1]) != prunekit.compare(before, after).significant


@pytest.mark.parametrize("sparsity", [50, 90])
def test_the_fragile_layer_is_the_one_that_costs_most_when_pruned_alone(cnn, data, sparsity: int) -> None:
    found = answer_of(5, sparsity=sparsity)
    dense, costs = prunekit.evaluate(cnn, data.validation), {}
    for name in prunable_layers(cnn):
        pruned = prunekit.prune(cnn, prunekit.PruneSpec(sparsity=sparsity / 100, layers=(name,))).model
        costs[name] = prunekit.evaluate(pruned, data.validation)
    assert found.frames["layers"].set_index("layer").accuracy.to_dict() == pytest.approx({n: a.value for n, a in costs.items()})
    worst = min(costs, key=lambda name: costs[name].value)
    expected = fragile.OPTIONS[worst] if prunekit.compare(dense, costs[worst]).significant else fragile.NONE
    assert found.value == expected


def test_fine_tuning_brings_back_what_the_core_brings_back(cnn, data) -> None:
    found = answer_of(6, sparsity=70, epochs=1)
    cut = prunekit.prune(cnn, prunekit.PruneSpec(mode="structured", sparsity=0.7))
    healed = fine_tune(cut.model, data, prunekit.Recovery(epochs=1), teacher=cnn)
    assert found.numbers["cut"] == prunekit.evaluate(cut.model, data.test).value
    assert found.value == pytest.approx(100 * prunekit.evaluate(healed.model, data.test).value)
    assert list(found.frames["course"].accuracy) == [found.numbers[name] for name in ("dense", "cut", "healed")]


def test_sixty_four_filters_less_twenty_leave_forty_four_and_the_next_layer_shrinks(cnn) -> None:
    found = answer_of(7)
    norms = np.abs(weight(cnn, "conv2")).reshape(64, -1).sum(1)
    kept = found.frames["filters"].kept.to_numpy()
    shapes = found.frames["layers"].set_index("layer").shape_after
    assert (kept.size, kept.sum()) == (64, 44)
    assert norms[kept].min() > norms[~kept].max()
    assert (shapes["conv2"], shapes["fc1"]) == ((44, 32, 3, 3), (64, 44 * 16))
    assert found.value == pytest.approx(100 * 20 / 64)
    # twenty filters, their BatchNorm's scale and shift, and their columns in fc1
    assert found.numbers["params_before"] - found.numbers["params_after"] == 20 * (32 * 9 + 2 + 64 * 16)
    assert "64 filters less 20 leave 44" in found.sentences[0]
    assert "proved" in found.sentences[1]


@pytest.mark.parametrize("number", range(1, 8))
def test_an_answer_is_the_same_each_time_and_leaves_the_original_alone(cnn, number: int) -> None:
    before = state_hash(cnn)
    first, second = answer_of(number), answer_of(number)
    assert first.numbers == second.numbers
    assert first.sentences == second.sentences
    assert all(frame.equals(second.frames[name]) for name, frame in first.frames.items())
    assert state_hash(cnn) == before == state_hash(prunekit.load_model("digits_cnn"))


@pytest.mark.parametrize("number", range(1, 8))
def test_the_real_page_opens_with_the_same_setting(number: int) -> None:
    found = answer_of(number)
    picked = Settings(**found.settings)
    assert decode(encode(picked)) == (picked, [])


def test_the_real_page_prunes_what_the_lessons_prune(cnn) -> None:
    names = prunable_layers(cnn)
    filters = prunekit.prune(cnn, Settings(**answer_of(7).settings).spec(names))
    assert filters.kept is not None
    assert len(filters.kept["conv2"]) == 44
    mlp = prunekit.load_model("digits_mlp")
    thinned = prunekit.prune(mlp, Settings(**answer_of(3).settings).spec(prunable_layers(mlp)))
    assert thinned.achieved.removed == 700
    assert Settings(**answer_of(6).settings).recovery() == prunekit.Recovery(epochs=2)


@pytest.mark.parametrize("number", [1, 6, 9])
def test_a_lesson_that_was_cancelled_gives_no_answer(number: int) -> None:
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        answer_of(number, progress=Progress(cancel=stop))


def test_fine_tuning_says_how_far_it_is_and_stops_on_request() -> None:
    stop, heard = threading.Event(), []

    def progress(share: float, _text: str) -> None:
        heard.append(share)
        if share > 0.2:
            stop.set()

    with pytest.raises(Cancelled):
        answer_of(6, progress=Progress(progress, stop))
    assert heard == sorted(heard)
    assert 0.2 < heard[-1] < 1


@pytest.mark.slow
@pytest.mark.parametrize("number", range(1, 8))
def test_a_lesson_answers_at_both_ends_of_every_control(number: int) -> None:
    lesson = LESSONS[number - 1]
    for control in lesson.controls:
        ends = [key for key, _ in control.options] or [control.low, control.high]
        for value in ends if control.kind != "cells" else [(), tuple(range(25))]:
            found = answer_of(number, **{control.name: value})
            assert found.verdict(found.value if found.guess.kind == "choice" else float(found.value)).right
            assert len(found.sentences) == 2


def test_who_pays_is_who_lost_the_row_that_was_theirs() -> None:
    found = answer_of(12)
    rows = found.frames["groups"].set_index(["letter", "name"]).loc["After"]
    assert found.value == "New users" == rows["change"].idxmin().capitalize() and rows.loc["new users", "significant"]
    assert rows.loc["new users", "gone"] > 0.5 > rows.loc["heavy users", "gone"]
    keep = {kind: found.frames[kind] for kind in ("user", "item")}
    for each in keep.values():
        assert each.loc[~each["keep"], "lookups"].max() <= each.loc[each["keep"], "lookups"].min(), "those looked up least go"
    sizes = [int((~each["keep"]).sum()) for each in keep.values()]
    assert sum(sizes) == round(0.8 * (2000 + 5000 + 24 + 12 + 3)), "of all tables together"
    zeros = answer_of(12, how="weights")
    spread = zeros.frames["groups"]["gone"]
    assert set(zeros.frames) == {"groups"} and spread.max() - spread.min() < 0.15 and "6 of 6 groups" in zeros.sentences[1]
