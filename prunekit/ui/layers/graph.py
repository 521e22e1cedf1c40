"""The model as a graph on the Layers page: drawn once somebody opens it, repeated blocks folded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from torch import nn

from prunekit.evaluation.sensitivity.drop_curves import drop_curves
from prunekit.formatting import percent, plural, shape
from prunekit.models.data_flow import DataFlow, Folded, Node, Stack, data_flow, fold, stacks
from prunekit.plots.model_graph import ALONE, STUCK, model_graph
from prunekit.tasks.metrics import PERCENT
from prunekit.tasks.wording import capital, lost_of
from prunekit.ui import routes
from prunekit.ui.components import show
from prunekit.ui.components.group_changes import Shrinking, listed, shrinking
from prunekit.ui.sensitivity import scan
from prunekit.ui.shared import cuts, data_cache, model_cache, scores
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state.current_model import data_in_use
from prunekit.ui.state.settings import Settings

CHART = "model_graph"
ONCE = "Blocks that are built alike are drawn once unless they are unfolded."
MOVING = "Drag to move, turn the wheel or use the buttons to zoom, double-click for the first view. Click a layer to single out its group."
FEW = 40  # nodes that are drawn without folding
GROUPS, SPARSITY, SENSITIVITY = "What shrinks together", "Share removed", "Sensitivity"
ZOOM = {
    "displayModeBar": True, "displaylogo": False, "scrollZoom": True,
    "modeBarButtons": [["zoomIn2d", "zoomOut2d", "resetScale2d", "autoScale2d", "toImage"]],
}  # fmt: skip


@dataclass(frozen=True)
class Values:
    """A figure of each layer, to colour by."""

    # layer -> the figure and its weight, by which the blocks that one stands for are averaged; by 0 the largest counts
    of: Mapping[str, tuple[float, float]]
    title: str  # title, form: what it is, and how it is written
    form: str
    words: str  # what to notice

    def over(self, names: Sequence[str]) -> tuple[float, str]:
        """Return the figure of several layers in one box, and the same in words."""
        found = [self.of[name] for name in names if name in self.of]
        if not found:
            return math.nan, ""
        values, weights = np.array(found).T
        value = float(np.average(values, weights=weights)) if weights.any() else float(values.max())
        low, high = float(values.min()), float(values.max())
        each = f", {format(low, self.form)} to {format(high, self.form)} in each" if high > low else ""
        return value, f"{self.title}: {format(value, self.form)}{each}"


@shared(8, "Following the data through the model …")
def _flow(source: Source) -> tuple[DataFlow, tuple[Stack, ...]]:
    """Return the graph of a model and the stacks of blocks in it."""
    loaded = model_cache.load(source)
    return data_flow(loaded.model, loaded.input_shape, cuts.graph(source).facts.path), stacks(loaded.model)


def section(now: Settings, loaded: Loaded) -> None:
    """Offer the graph; nothing of it is computed before it is opened."""
    opened = st.expander(
        "The model as a graph: where the data flow, and what shrinks together",
        icon=":material/account_tree:",
        key="graph_open",
        on_change="rerun",
    )
    if opened.open:
        with opened, show.plain_errors(stop=False):
            st.fragment(_body, key="graph_body")(now, loaded)


def _body(now: Settings, loaded: Loaded) -> None:
    """Show the choices and the picture."""
    flow, of = _flow(loaded.source)
    tag = f"{loaded.source.name}_{loaded.source.upload}"
    unfolded = _unfolded(tag, flow, of)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        by = st.segmented_control("Colour by", [GROUPS, SPARSITY, SENSITIVITY], default=GROUPS, required=True, key="graph_by")
        if of:
            names = [stack.name for stack in of]
            st.pills(
                "Unfolded",
                names,
                selection_mode="multi",
                key=f"graph_unfolded_{tag}",
                help=ONCE,
            )
    values = None if by == GROUPS else _removed(now, loaded) if by == SPARSITY else _lost(now, loaded)
    folded = fold(flow, [stack for stack in of if stack.name not in unfolded])
    found = shrinking(loaded.source)
    places = {name: place for place, entry in reversed(list(enumerate(found))) for name in entry.group.layers}
    nodes = _frame(loaded, folded, of, places, values)
    picked = st.session_state.get(f"graph_group_{tag}")
    together = [place for place in nodes["place"] if place >= 0 and found[place].coupled]
    colours = {place: number for number, place in enumerate(dict.fromkeys(together))}
    nodes["group"] = [colours.get(place, ALONE if place >= 0 else STUCK) for place in nodes["place"]]
    nodes["faded"] = picked is not None and (nodes["place"] != picked)
    row = {node.id: number for number, node in enumerate(folded.flow.nodes)}
    worst = float(nodes["value"].max()) if values is not None and nodes["value"].notna().any() else 1.0
    fig = model_graph(
        nodes, [(row[a], row[b]) for a, b in folded.flow.edges], value=values.title if values else "", worst=worst or 1.0,
        form=values.form if values else "", revision=f"{tag} {sorted(unfolded)}", dark=show.dark(),
    )  # fmt: skip
    titles = {name: stack.name for name, stack in zip(nodes["block"], nodes["stack"], strict=True) if stack is not None}
    caption = _caption(nodes, found, folded, values, None if picked is None else found[picked])
    show.chart(
        fig, CHART, caption, alt="The layers of the model, and what flows between them", least=480, config=ZOOM, selection_mode="points",
        on_select=lambda: _take(tag, nodes, titles), rows=lambda: _rows(nodes, values),
    )  # fmt: skip


def _unfolded(tag: str, flow: DataFlow, of: Sequence[Stack]) -> set[str]:
    """Return the stacks that are drawn block by block: all of a small model to begin with."""
    key = f"graph_unfolded_{tag}"
    if key not in st.session_state and len(flow.nodes) <= FEW:
        st.session_state[key] = [stack.name for stack in of]
    return set(st.session_state.get(key) or [])


def _take(tag: str, nodes: pd.DataFrame, titles: Mapping[str, str]) -> None:
    """Fold or unfold the stack whose name was clicked, or single out the group of the layer; a chart's callback."""
    points = st.session_state[CHART]["selection"]["points"]
    data = points[0].get("customdata") if points else None
    if data is None:
        return
    clicked = data[0] if isinstance(data, list) else data["0"]
    if isinstance(clicked, str):
        key, name = f"graph_unfolded_{tag}", titles.get(clicked)
        if name is not None:
            now = list(st.session_state.get(key) or [])
            st.session_state[key] = [other for other in now if other != name] if name in now else [*now, name]
        return
    key, place = f"graph_group_{tag}", int(nodes["place"].iloc[int(clicked)])
    st.session_state[key] = None if place < 0 or st.session_state.get(key) == place else place


def _blocks(model: nn.Module, folded: Folded, of: Sequence[Stack]) -> Iterator[tuple[str, int, Stack | None]]:
    """Yield for each node the block around it as it is called, for how many it stands, and the stack that a click on it folds."""
    owner = {block: stack for stack in of for block in stack.blocks}
    containers = {name for name, module in model.named_modules() if isinstance(module, (nn.Sequential, nn.ModuleList))}

    def around(node: Node) -> str:
        parts = (node.layer or node.module).split(".")
        paths = [".".join(parts[:end]) for end in range(len(parts) - (1 if node.layer else 0), 0, -1)]
        return next((path for path in paths if path in owner or path.rpartition(".")[0] in containers), "")

    names = [around(node) for node in folded.flow.nodes]
    for node, name in zip(folded.flow.nodes, names, strict=True):
        stack = folded.stacks.get(node.id)
        if stack is not None:
            yield stack.name, len(stack.blocks), stack
        else:
            yield (name if names.count(name) > 1 else ""), 1, owner.get(name)


def _frame(loaded: Loaded, folded: Folded, of: Sequence[Stack], places: Mapping[str, int], values: Values | None) -> pd.DataFrame:
    """Return a row for each node."""
    found, graph = shrinking(loaded.source), cuts.graph(loaded.source)
    known = model_cache.layer_frame(loaded.source).set_index("name")
    layer = {node.id: node.layer for node in _flow(loaded.source)[0].nodes}
    rows = []
    for node, (block, times, stack) in zip(folded.flow.nodes, _blocks(loaded.model, folded, of), strict=True):
        members = [layer[name] for name in folded.members[node.id]]
        value, said = (math.nan, "") if values is None or not node.layer else values.over(members)
        tied = node.kind == "layer" and node.id != node.layer  # a table: its columns are the inputs of the layer that it is tied to
        reads = (at for at, entry in enumerate(found) if any(reader.layer == node.layer for reader in entry.readers))
        place = next(reads, -1) if tied else places.get(node.layer, -1) if node.layer else -1
        inside = (stack.blocks[0] if times > 1 and stack is not None else block) + "."
        label = node.label.removeprefix(inside) if node.kind == "layer" else node.label
        size = shape(known["shape"][node.layer]) if node.layer in known.index else ""
        why = graph.immovable.get(node.layer, "the table is tied to a layer that cannot" if tied else "") if node.layer else ""
        group = _group(found[place], node.layer) if place >= 0 else f"cannot lose outputs: {why}" if why else ""
        rows.append((node.kind, label, node.id, node.layer, block, times, stack, place, value, size, group, said, len(members)))
    names = ["kind", "label", "name", "layer", "block", "times", "stack", "place", "value", "size", "told", "figure", "members"]
    frame = pd.DataFrame(rows, columns=names)
    frame["said"] = [_said(row) for row in frame.itertuples()]
    return frame


def _group(entry: Shrinking, name: str) -> str:
    """Say what shrinks together with a layer."""
    others = [layer for layer in entry.group.layers if layer != name]
    with_them = f"together with {listed(others, 4, escape=False)}" if others else "alone"
    return f"shrinks {with_them}: {entry.units}"


JOINS = {"input": "what goes in", "output": "what comes out", "+": "addition", "×": "product", "concat": "concatenation"}


def _said(row: Any) -> str:
    """Return what hovering says of a node."""
    kind, label = row.kind, row.label
    if kind != "layer":
        return f"<b>{JOINS.get(label, label)}</b>"
    times = f" and {row.members - 1} built alike" if row.members > 1 else ""
    lines = [f"<b>{row.name}</b>{times}", row.size and f"weight {row.size}", row.told, row.figure]
    return "<br>".join(filter(None, lines))


def _removed(now: Settings, loaded: Loaded) -> Values | None:
    """Return which share of each layer the setting of the Prune page removes."""
    spec = now.spec(loaded.every)
    images = data_cache.images_of(now, loaded, None if not spec.looks_at_data else data_in_use(now, loaded))
    if not scores.ready(loaded, spec, images):
        return None
    view = cuts.view(loaded.source, spec, images)
    of = {row.name: (float(row.removed), float(row.all)) for row in view.frame.set_index("name", drop=False).itertuples(index=False)}
    return Values(of, f"{view.what} removed", ".1%", f"The setting of the Prune page: {percent(view.achieved)} of the {view.unit} go.")


def _lost(now: Settings, loaded: Loaded) -> Values | None:
    """Return what each layer costs when it is pruned alone, as it was measured; None after saying where to measure."""
    data = data_in_use(now, loaded)
    found = None if data is None else scan.known_results(scan.request_of(now, loaded, data), loaded, data)
    if found is None:
        if data is not None:
            show.empty("No sensitivity of this setting has been measured yet.", "monitor_heart")
            routes.link("sensitivity", "Measure it on the Sensitivity page")
        return None
    groups = {entry.group.id: entry.group.layers for entry in shrinking(loaded.source)}
    of = {name: (curve.mean, 0.0) for curve in drop_curves(found) for name in groups.get(curve.name, (curve.name,))}
    metric = found.dense.metric
    words = f"{capital(lost_of(metric))} when a layer is pruned alone, on average over its points; of blocks drawn as one the worst."
    return Values(of, f"{lost_of(metric)}, alone", ".1%" if metric.unit == PERCENT else ".3g", words)


def _rows(nodes: pd.DataFrame, values: Values | None) -> pd.DataFrame:
    """Return the layers of the picture, for its table."""
    layers = nodes[nodes["kind"] == "layer"]
    frame = pd.DataFrame({"Layer": layers["name"], "Blocks": layers["members"], "Weight": layers["size"], "Shrinks": layers["told"]})
    if values is not None:
        frame[capital(values.title)] = [values.form and ("" if math.isnan(v) else format(v, values.form)) for v in layers["value"]]
    return frame


def _caption(nodes: pd.DataFrame, found: Sequence[Shrinking], folded: Folded, values: Values | None, picked: Shrinking | None) -> str:
    """Say what to notice, and how to move."""
    layers = nodes[nodes["kind"] == "layer"]
    parts = []
    if picked is not None:
        parts.append(f"**{show.plain(picked.group.id)}** {_group(picked, picked.group.layers[0])}. Click it again to see all.")
    elif values is not None and layers["value"].notna().any():
        most = layers.loc[layers["value"].idxmax()]
        parts.append(f"{values.words} Most: **{show.plain(most['name'])}**, {format(most['value'], values.form)}.")
    else:
        tied = [entry for entry in found if entry.coupled]
        if tied:
            most_of_all = max(len(entry.group.layers) for entry in tied)
            groups = f"{plural(len(tied), 'group')} of several layers, the largest with **{most_of_all}**"
            parts.append(f"One colour shrinks together: {groups}. White shrinks alone, grey cannot shrink.")
        else:
            parts.append("No layers are tied: white ones shrink alone, grey ones cannot.")
    once = dict.fromkeys(stack.name for stack in folded.stacks.values())
    if once:
        parts.append(f"Drawn once: {', '.join(show.plain(name) for name in once)}; click such a title to unfold it.")
    return " ".join([*parts, MOVING])
