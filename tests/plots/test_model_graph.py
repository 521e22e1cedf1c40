"""The drawing of a model as a graph: edges flow down, nothing overlaps, and a click says what was clicked."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prunekit.plots.model_graph import ALONE, STUCK, layered, model_graph

graphs = st.integers(2, 14).flatmap(
    lambda n: st.tuples(st.just(n), st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)).filter(lambda e: e[0] != e[1])))
)


@settings(max_examples=40)
@given(graphs)
def test_edges_flow_down_and_nodes_of_a_row_keep_their_distance(graph):
    n, edges = graph
    widths = [1.0 + 0.3 * (i % 3) for i in range(n)]
    drawing = layered(widths, sorted(edges))
    forward = {(a, b) for a, b in edges if a < b}
    assert set(drawing.routes) == forward
    for a, b in forward:
        assert drawing.ranks[a] < drawing.ranks[b]
        assert len(drawing.routes[a, b]) == drawing.ranks[b] - drawing.ranks[a] + 1
        assert (drawing.routes[a, b][0], drawing.routes[a, b][-1]) == (drawing.x[a], drawing.x[b])
    for rank in set(drawing.ranks.tolist()):
        row = sorted((drawing.x[i], widths[i]) for i in range(n) if drawing.ranks[i] == rank)
        assert all(b[0] - a[0] >= (a[1] + b[1]) / 2 - 1e-6 for a, b in pairwise(row))


def test_a_chain_is_drawn_straight_whatever_passes_by():
    drawing = layered([1.0] * 6, [(i, i + 1) for i in range(5)] + [(0, 5), (1, 4)])
    assert np.ptp(drawing.x) < 0.05
    assert all(abs(x - drawing.x[0]) > 0.5 for x in drawing.routes[0, 5][1:-1])


@pytest.fixture
def nodes():
    rows = [
        ("input", "input", ALONE, np.nan, "", 1), ("layer", "conv1", 0, 0.2, "a.0–3", 4), ("layer", "conv2", ALONE, 0.6, "a.0–3", 4),
        ("join", "+", ALONE, np.nan, "a.0–3", 4), ("join", "concat", ALONE, np.nan, "", 1), ("layer", "fc", STUCK, np.nan, "", 1),
    ]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["kind", "label", "group", "value", "block", "times"])
    return frame.assign(said=[f"this is {label}" for label in frame["label"]], faded=False)


EDGES = [(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (4, 5)]


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("value", ["", "weights removed"])
def test_every_node_can_be_clicked_and_says_what_it_is(nodes, value, dark):
    fig = model_graph(nodes, EDGES, value=value, worst=0.6, dark=dark)
    found = {}
    for trace in fig.data:
        if trace.customdata is not None:
            said = trace.hovertext
            found |= {data[0]: text for data, text in zip(trace.customdata, said, strict=True)}
    title = found.pop("a.0–3")
    assert found == {row: f"this is {label}" for row, label in enumerate(nodes["label"])}
    assert "4 blocks" in title
    assert sum(shape.type == "rect" for shape in fig.layout.shapes) == 2  # one behind the other: it stands for several
    assert fig.layout.dragmode == "pan"


def test_boxes_are_coloured_by_the_value_and_one_that_has_none_is_not(nodes):
    bars = [trace for trace in model_graph(nodes, EDGES, value="weights removed", worst=0.6).data if trace.type == "bar"]
    (scaled,) = [trace for trace in bars if trace.marker.colorscale is not None]
    assert list(scaled.marker.color) == [0.2, 0.6]
    assert list(scaled.text) == ["conv1", "conv2"]
