"""Suggested targets on the Sensitivity page: a goal, a table to edit, and the way to the Prune page."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sensitivity.layer_targets import counter, together
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.evaluation.sensitivity.suggested_targets import Suggestion, suggest
from prunekit.tasks.metrics import PERCENT, Metric
from prunekit.tasks.wording import alike, capital, loss_number, lost_of
from prunekit.ui import routes
from prunekit.ui.components import metric_controls, show
from prunekit.ui.components.field_controls import ROWS, control
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.settings import OWN, PLAIN, Settings

_EDITS = "target_edits"
MEASURED = "Pruned alone, as in the picture above; a dash where this very share was not measured."
COUNTS = (
    "Estimated from the whole curve of the layer: where chance made a point better than one with less removed, both count as their mean, "
    "and a gain counts as nothing lost."
)


def goal(now: Settings, dense: Evaluation) -> None:
    """Show what the targets are for."""
    metric = dense.metric
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        titles = ROWS["goal"].kind.titles
        own = titles if metric.unit == PERCENT else {**titles, "drop": metric_controls.phrase(metric)}
        control("goal", segmented=True, format_func=own.__getitem__)
        if now.goal == "drop":
            st.number_input(
                f"Points of {metric.phrase}" if metric.unit == PERCENT else ", ".join(filter(None, [metric.title, metric.unit])), width=170,
                **metric_controls.limits(metric, dense.value),
                on_change=_take_drop, args=(metric, dense.value),
                **session.mirror("goal_drop", metric_controls.shown(now, metric, dense.value)),
            )  # fmt: skip
        else:
            what = "parameters" if now.goal == "params" else "MACs"
            control("goal_share", f"Share of all {what}, %", min_value=1.0, max_value=99.0, width=220)


def _take_drop(metric: Metric, dense: float) -> None:
    """Take the allowed loss; it is the same as the mark in the pictures."""
    session.change(drop=metric_controls.taken(float(st.session_state["goal_drop"]), metric, dense))


def suggested(now: Settings, loaded: Loaded, data: Data, found: Sensitivity, spec: PruneSpec) -> Suggestion | None:
    """Return targets for the goal, or None after saying why there are none."""
    counts = model_cache.counts_of(loaded.source)
    key = measuring.key_of("suggest", loaded.source, spec, found.images, found.saved, found.dense, now.goal, now.drop, now.goal_share)
    known: dict[str, Any] = st.session_state.setdefault("suggestions", {})
    if key not in known:
        loss = metric_controls.allowed(now, found.dense.metric, found.dense.value)
        wish = {now.goal: loss if now.goal == "drop" else now.goal_share}
        try:
            count = counter(loaded.model, spec, loaded.input_shape, data) if spec.mode == "structured" else None
            answer: Suggestion | str = suggest(found, **wish, totals=(counts.params, counts.macs), counter=count)  # type: ignore[arg-type]
        except PrunekitError as error:
            answer = show.said(error)
        known.clear()
        known[key] = answer
    answer = known[key]
    if isinstance(answer, str):
        st.info(answer + ".", icon=":material/block:")
        return None
    return answer


def table(  # noqa: PLR0917 (what is picked, and what was found of it)
    now: Settings, loaded: Loaded, data: Data, found: Sensitivity, spec: PruneSpec, suggestion: Suggestion
) -> None:
    """Show the targets to edit, and take them to the Prune page."""
    costs, metric = {layer.name: layer for layer in found.layers}, alike(found.dense.metric, found.dense.value)
    frame = pd.DataFrame(
        [
            (t.name, round(100 * t.sparsity, 1), _lost(metric, t.measured), _lost(metric, t.drop), costs[t.name].params, t.ahead)
            for t in suggestion.targets
        ],
        columns=["layer", "remove", "measured", "drop", "params", "reason"],
    )
    key = f"{_EDITS}_{measuring.key_of(suggestion.targets)}"
    column = st.column_config
    edited = st.data_editor(
        frame, key=key, hide_index=True, disabled=["layer", "measured", "drop", "params", "reason"],
        column_config={
            "layer": show.text_column("Layer or group", frame["layer"], 150),
            "remove": column.NumberColumn("Remove", format="%.1f %%", min_value=0.0, max_value=99.0, step=0.1, width="small"),
            "measured": column.TextColumn(_measured(metric), width=145, help=MEASURED),
            "drop": column.TextColumn("As it counts", width="small", help=COUNTS),
            "params": column.NumberColumn("Parameters", format="localized", width="small"),
            "reason": column.TextColumn("Why", width=360),
        },
    )  # fmt: skip
    st.caption(f"{show.tag('estimated')} {suggestion.sentence}.")
    # a cell cuts digits off, so it holds rounded shares; where nobody changed it, the target itself is meant
    wanted = {
        target.name: round(target.sparsity if share == shown else share / 100, 8)
        for target, shown, share in zip(suggestion.targets, frame["remove"], edited["remove"].fillna(0.0).astype(float), strict=True)
    }
    if st.button(
        "Use on the Prune page", key="use_targets", type="primary", icon=":material/content_cut:", disabled=not any(wanted.values()),
        help="Each layer gets its target, and the slider there scales them; measure there what all of them cost together.",
    ):  # fmt: skip
        adopt(loaded, together(found, wanted, spec, loaded.model, loaded.input_shape, data))
        st.switch_page(routes.page("prune"))


def _lost(metric: Metric, loss: float | None) -> str:
    """Return a loss as the picture shows it, or a dash."""
    return "–" if loss is None else loss_number(metric, loss)


def _measured(metric: Metric) -> str:
    """Return the title of the column of what was lost."""
    if metric.unit == PERCENT:
        return "Points lost, measured"
    return f"{capital(lost_of(metric))}, measured"


def adopt(loaded: Loaded, spec: PruneSpec) -> None:
    """Take a setting for the Prune page; an override for each layer as targets, which the slider scales."""
    place = {name: i for i, name in enumerate(loaded.every)}
    if session.settings().mode != spec.mode:
        session.change_mode(spec.mode)
    by_layer = ("layers", "overrides", "caps", "shares")
    plain = {name: getattr(spec, name, None) for name in OWN if name not in by_layer}
    session.change(
        **{name: getattr(PLAIN, name) for name in OWN}
        | {name: value for name, value in plain.items() if value is not None}
        | {"criterion": spec.criterion, "scope": spec.scope, "sparsity": round(float(spec.sparsity or 0.0), 8), "seed": spec.seed}
        | {"layers": None if spec.layers is None else tuple(sorted(place[name] for name in spec.layers))}
        | {"targets": tuple(sorted((place[name], round(share, 8)) for name, share in spec.overrides))}
    )
