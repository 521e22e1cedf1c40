"""The pictures of the Sensitivity page: a curve for each layer, and all layers as a map beside their cost."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from prunekit.evaluation.quality import chance_sentence
from prunekit.evaluation.sensitivity.drop_curves import drop_curves, fragile
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.formatting import percent
from prunekit.plots.quality_curves import allowed
from prunekit.plots.sensitivity import sensitivity_caption, sensitivity_map, sensitivity_panels
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import HIGHER, PERCENT, Metric
from prunekit.tasks.protocol import Task
from prunekit.tasks.wording import capital, loss_text, lost_of, worse_by
from prunekit.ui.components import metric_controls, show
from prunekit.ui.components.field_controls import ROWS
from prunekit.ui.state.settings import Settings

MAPPED = 60  # layers that one heat map shows
LEAST = 640  # pixels: five panels, or nine numbers beside the names of layers


def points_of(so_far: Sensitivity) -> pd.DataFrame:
    """Return every point as a row, and beside it the dense model on the same samples."""
    rows = [
        (
            layer.name,
            p.requested,
            p.sparsity,
            p.accuracy.value,
            p.accuracy.low,
            p.accuracy.high,
            p.accuracy.n,
            (p.dense or so_far.dense).value,
        )
        for layer in so_far.layers
        for p in layer.points
    ]
    return pd.DataFrame(rows, columns=["layer", "requested", "sparsity", "value", "low", "high", "n", "dense"])


def _drawn(so_far: Sensitivity) -> pd.DataFrame:
    """Return every point as far from the dense model as on its own samples, so that one of fewer samples stands beside the others."""
    frame, metric = points_of(so_far), so_far.dense.metric
    frame["lost"] = metric.loss(frame["dense"], frame["value"])
    for column in ("value", "low", "high"):
        frame[column] += so_far.dense.value - frame["dense"]
        frame[column] = frame[column].clip(0, 1) if metric.unit == PERCENT else frame[column]
    frame["seen"] = [f"on {n:,} of {so_far.images:,} {so_far.dense.units}" if n < so_far.images else "" for n in frame["n"]]
    return frame


def panels(now: Settings, so_far: Sensitivity, task: Task, targets: dict[str, float] | None) -> None:
    """Draw a small curve for each layer."""
    frame, dense, metric = _drawn(so_far), so_far.dense.value, so_far.dense.metric
    stands_out, loss = fragile(so_far), metric_controls.allowed(now, metric, dense)
    fig = sensitivity_panels(
        frame, dense=dense, threshold=worse_by(metric, dense, loss), fragile=stands_out, targets=targets, metric=metric,
        chance=so_far.dense.chance, dark=show.dark(),
    )  # fmt: skip
    seen = f"{so_far.images:,} of {so_far.total:,}" if so_far.images < so_far.total else f"{so_far.images:,}"
    seen = f"up to {seen}" if so_far.references else seen
    where = f" Measured on {seen} {so_far.split} {task.units_of_data}; dotted: {allowed(metric, loss)}, against dense"
    where += "; triangles: the targets below." if targets else "."
    words = sensitivity_caption({c.name: c.mean for c in drop_curves(so_far)}, (), metric, dense)
    show.chart(fig, "sensitivity_panels", words + where, least=LEAST)


def pictures(now: Settings, so_far: Sensitivity, task: Task, targets: dict[str, float] | None, names: tuple[str, ...] = ()) -> None:
    """Draw everything that was measured."""
    with show.slot():
        show.doubts([chance_sentence(so_far.dense)])
    show.section("How does each layer take it?")
    early, so_far = so_far.early, so_far.under(metric_controls.choose(now, so_far.dense, names))
    dense = so_far.dense
    points = f"Mark a loss of so many points of {dense.metric.phrase}"
    other = f"Mark {dense.metric.phrase} that is worse by so much" + (f", {dense.metric.unit}" if dense.metric.unit else "")
    metric_controls.ask(points if dense.metric.unit == PERCENT else other, dense.metric, dense.value)
    panels(now, so_far, task, targets)
    if stand_out := fragile(so_far):
        worst, *more = stand_out
        others = f". So {'are' if len(more) > 1 else 'is'} {', '.join(more)}" if more else ""
        st.warning(show.plain(stand_out[worst] + others) + ".", icon=":material/warning:")
    for note in so_far.notes:
        st.caption(show.plain(note[:1].upper() + note[1:]) + ".")
    if early:
        st.caption(f"{show.plain(early)}. **{ROWS['full'].label}** measures all.")
    show.section("Where does it hurt, and what would it save?")
    _map(so_far)


def _map(so_far: Sensitivity) -> None:
    """Draw the heat map; of very many layers those that hurt most."""
    frame = _drawn(so_far)
    costs = pd.DataFrame([(layer.name, layer.params, layer.macs) for layer in so_far.layers], columns=["layer", "params", "macs"])
    dense, metric, note = so_far.dense.value, so_far.dense.metric, ""
    if len(costs) > MAPPED:
        means = frame.groupby("layer")["value"].mean()
        worst = set((means.nsmallest if metric.better == HIGHER else means.nlargest)(MAPPED).index)
        frame, costs = frame[frame["layer"].isin(worst)], costs[costs["layer"].isin(worst)]
        note = f" Of {len(so_far.layers)} layers the {MAPPED} that lose most."
    means = frame.groupby("layer", sort=False)["value"].mean().reindex(costs["layer"]).to_numpy()
    words, what = spared(costs.assign(lost=metric.loss(dense, means)), metric), lost_of(metric)
    show.chart(
        sensitivity_map(frame, costs, dense=dense, metric=metric, dark=show.dark()), "sensitivity_map",
        f"{capital(what)}, as measured, when so much of this layer alone is asked for; below zero it answers better.{words}{note}",
        least=LEAST,
    )  # fmt: skip
    csv = points_of(so_far).to_csv(index=False)
    st.download_button(
        "Download as CSV", data=csv, file_name="sensitivity.csv", mime="text/csv", icon=":material/download:", on_click="ignore"
    )


def spared(costs: pd.DataFrame, metric: Metric = ACCURACY) -> str:
    """Say which of the layers that hurt less than the others holds most parameters; nothing where none hurts less.

    ``costs``: columns ``layer``, ``params`` and ``lost`` (quality, on average over its points).
    """
    easy = costs[costs["lost"] < costs["lost"].max()]
    easy = easy[easy["lost"] <= costs["lost"].median()].nlargest(1, "params")
    if easy.empty:
        return ""
    row = easy.iloc[0]
    held, lost = percent(row["params"] / max(int(costs["params"].sum()), 1)), loss_text(metric, max(float(row["lost"]), 0.0))
    return f" Of the half that hurts less **{row['layer']}** holds most: {held} of these layers' parameters, for {lost} on average."
