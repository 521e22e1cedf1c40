"""The graph on the Layers page: computed once it is opened, folded and unfolded, coloured, with the table behind it."""

import json

import pytest

from prunekit.ui.layers import graph
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.state.settings import PLAIN


def names_in(page):
    """Return what stands in the boxes of the graph."""
    figure = json.loads(page.app.get("plotly_chart")[-1].proto.spec)
    return [text for trace in figure["data"] if trace["type"] == "bar" for text in trace["text"]]


def opened(tab, **state):
    page = tab("layers", model="shakespeare_gpt")
    for key, value in {"graph_open": True, **state}.items():
        page.app.session_state[key] = value
    page.app.run()
    return page.check()


def test_nothing_is_followed_before_the_graph_is_opened(tab, monkeypatch):
    monkeypatch.setattr(graph, "data_flow", lambda *_: pytest.fail("the graph was computed"))
    graph._flow.clear()
    tab("layers", model="shakespeare_gpt")


def test_blocks_unfold_and_every_layer_is_drawn(tab):
    page = opened(tab, graph_unfolded_shakespeare_gpt_=[])
    (stack,) = page.app.get_by_key("graph_unfolded_shakespeare_gpt_").options
    folded = names_in(page)
    page.set("graph_unfolded_shakespeare_gpt_", [stack])
    assert len(names_in(page)) > len(folded)


def test_boxes_take_the_share_that_the_setting_removes_and_the_table_says_the_same(tab):
    page = opened(tab)
    page.set("graph_by", graph.SPARSITY)
    page.app.session_state[f"table_{graph.CHART}"] = True
    page.app.run()
    page.check()
    frame = next(each.value for each in page.app.dataframe if "Weights removed" in each.value)
    loaded = model_cache.load(Source("shakespeare_gpt"))
    flow, _ = graph._flow(loaded.source)
    assert frame["Blocks"].sum() == sum(node.kind == "layer" for node in flow.nodes)
    removed = cuts.view(loaded.source, PLAIN.spec(loaded.every)).frame.set_index("name")
    alone = frame[(frame["Blocks"] == 1) & frame["Layer"].isin(removed.index)].set_index("Layer")["Weights removed"]
    assert len(alone) and dict(alone) == {name: f"{removed['removed'][name]:.1%}" for name in alone.index}


def test_without_a_measurement_the_way_to_one_is_said(tab):
    page = opened(tab).set("graph_by", graph.SENSITIVITY)
    assert any("No sensitivity" in each.value for each in page.app.markdown)
