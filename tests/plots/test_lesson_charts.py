"""Pictures of the lessons: what is drawn is what was measured, to scale, in light and dark."""

import numpy as np
import pandas as pd
import pytest

from prunekit.lessons.course import answer_of
from prunekit.plots import lessons, lessons_measured


def cells_drawn(trace):
    return int((~np.isnan(np.array(trace.z, dtype=float))).sum())


@pytest.mark.parametrize("below", [1, 10, 50])
def test_the_histogram_holds_every_weight_on_its_side_of_the_cut(below):
    found = answer_of(1, below=below)
    fig = lessons.moving_cut(found.frames["histogram"], found.numbers["bound"])
    small, large = fig.data
    assert sum(small.y) + sum(large.y) == found.numbers["weights"]
    assert all(abs(x) < found.numbers["bound"] for x in small.x)
    assert all(abs(x) >= found.numbers["bound"] for x in large.x)
    assert sorted(shape.x0 for shape in fig.layout.shapes if shape.type == "line") == [-found.numbers["bound"], found.numbers["bound"]]


def test_a_cell_of_the_matrix_is_its_weight_or_a_zero():
    frame = answer_of(2, cells=(0, 7, 24)).frames["cells"]
    fig = lessons.matrices(frame, (("yours", "a"), ("best", "b")))
    for stays, goes in (fig.data[:2], fig.data[2:]):
        assert (cells_drawn(stays), cells_drawn(goes)) == (22, 3)
        words = np.where(np.array(stays.text) == "", np.array(goes.text), np.array(stays.text))
        assert (words == "0").sum() == 3 and (words != "").all()
    assert fig.data[0].text[0][1] == lessons.signed_number(frame.weight[1])


def test_numbers_near_nothing_have_no_sign():
    assert [lessons.signed_number(value) for value in (-0.001, -0.006, 0.25, 1)] == ["0.00", "−0.01", "0.25", "1.00"]


@pytest.mark.parametrize("sparsity", [0, 70, 95])
def test_storage_is_drawn_to_scale(sparsity):
    found = answer_of(3, sparsity=sparsity)
    fig = lessons.layer_and_storage(found.frames["weights"], found.frames["storage"])
    bars = [trace for trace in fig.data if trace.type == "bar"]
    assert list(np.sum([bar.x for bar in bars], axis=0)) == list(found.frames["storage"].bytes)
    assert all(np.min(bar.x) >= 0 for bar in bars)
    zeros = dict(zip(bars[1].y, bars[1].x, strict=True))
    assert zeros["dense"] == 4 * (1000 - found.numbers["left"])
    assert cells_drawn(fig.data[0]) == found.numbers["left"]


@pytest.mark.parametrize("gone", [1, 20, 60])
def test_the_area_of_a_box_is_the_number_of_weights(gone):
    frame = answer_of(7, gone=gone).frames["layers"]
    boxes = lessons.narrower(frame).layout.shapes
    areas = [(box.x1 - box.x0) * (box.y1 - box.y0) for box in boxes]
    assert areas[0::2] == pytest.approx(list(frame.weights_before))
    assert areas[1::2] == pytest.approx(list(frame.weights_after))
    assert "conv2, fc1" in lessons.narrower_caption(frame)


def test_the_cliff_is_marked_where_it_was_found():
    found = answer_of(4)
    fig = lessons_measured.cliff(found.frames["curve"], found.numbers["cliff"], found.numbers["allowed"])
    lines = [shape for shape in fig.layout.shapes if shape.type == "line"]
    assert found.numbers["cliff"] in [line.x0 for line in lines]
    assert found.numbers["dense"] - found.numbers["allowed"] in [line.y0 for line in lines if line.y0 == line.y1]
    assert len(fig.data[2].x) == len(found.frames["curve"])


def test_every_layer_is_drawn_with_its_share_and_its_accuracy():
    found = answer_of(5)
    frame = found.frames["layers"]
    bars = [trace for trace in lessons_measured.fragile(frame, found.numbers["dense"]).data if trace.type == "bar"]
    assert sum(bars[0].x) == pytest.approx(1)
    assert list(bars[1].x) == list(frame.accuracy)


def budget(kind, **numbers):
    return {"kind": kind, "params": 100, "macs": 1000, "bytes": 400, "ms": 2.0, "accuracy": 0.9, "low": 0.8, "high": 0.95} | numbers


def test_costs_are_shares_of_the_original():
    frame = pd.DataFrame([budget("dense"), budget("unstructured", params=20, ms=2.2), budget("structured", macs=250, accuracy=0.45)])
    costs = lessons_measured.costs_of(frame).set_index(["measure", "kind"]).share
    assert costs["weights", "unstructured"] == pytest.approx(0.2)
    assert costs["multiplications", "structured"] == pytest.approx(0.25)
    assert costs["time, 64 images", "unstructured"] == pytest.approx(1.1)
    assert costs["read right", "structured"] == pytest.approx(0.5)
    fig = lessons_measured.against_original(lessons_measured.costs_of(frame))
    bars = [trace for trace in fig.data if trace.type == "bar"]
    assert [len(bar.x) for bar in bars] == [5, 5]
    assert fig.layout.xaxis.range[1] > 1.1, "the longest bar is in view"
    labels = [x for trace in fig.data if trace.type == "scatter" for x in trace.x]
    assert len(labels) == 10
    assert not [x for x in labels if 0.78 * 1.1 < x < 1], "no label lies across the line of the original"


def test_both_kinds_stand_at_their_accuracy_at_each_budget():
    rows = [budget(kind, accuracy=value) | {"budget": name} for name in ("params", "ms") for kind, value in
            (("dense", 0.9), ("unstructured", 0.89), ("structured", 0.85))]  # fmt: skip
    traces = lessons_measured.equal_budgets(pd.DataFrame(rows)).data
    single, channels = (trace for trace in traces if trace.mode == "markers" and trace.name)
    labels = [trace for trace in traces if trace.mode == "text"]
    assert [[text.strip() for text in trace.text] for trace in labels] == [list(single.text), list(channels.text)]
    assert all(x < 0.85 for trace in labels for x in trace.x), "in front of the intervals, and so of the original's line"
    assert list(single.x) == [0.89, 0.89] and list(channels.x) == [0.85, 0.85]
    assert len({round(y) for y in single.y}) == 2


@pytest.mark.parametrize("dark", [False, True])
def test_large_type_is_larger_and_changes_no_number(dark):
    frame = answer_of(7).frames["layers"]
    small, large = lessons.narrower(frame, dark=dark), lessons.enlarged(lessons.narrower(frame, dark=dark))
    assert large.layout.font.size > 16 and large.layout.height > small.layout.height
    assert min(note.font.size for note in large.layout.annotations) > max(note.font.size for note in small.layout.annotations)
    assert [shape.x1 for shape in large.layout.shapes] == [shape.x1 for shape in small.layout.shapes]
