"""The choices of "Quality vs sparsity": the curves on the picture, the samples that they are measured on, and the axes."""

from __future__ import annotations

import streamlit as st

from prunekit.config.choices import TABLE_ROWS, drawn_criteria_of, scopes_of
from prunekit.data.dataset import Data
from prunekit.evaluation.quality import Evaluation
from prunekit.plots.quality_curves import AXES
from prunekit.plots.theme import run_colour
from prunekit.tasks.metrics import Metric
from prunekit.tasks.protocol import Task
from prunekit.tasks.wording import capital
from prunekit.ui.accuracy.sweeps import DRAWN, RECOVERIES, curves_of, label, own_curve
from prunekit.ui.components import metric_controls, setting_controls, show
from prunekit.ui.components.field_controls import control
from prunekit.ui.prune import embedding_rows
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.compatible import MODES
from prunekit.ui.state.page_settings import Curve
from prunekit.ui.state.settings import Settings

MOST = 8
ACROSS = {"sparsity": "Sparsity", "ratio": "Compression ratio", "params": "Parameters", "macs": "MACs", "bytes": "Bytes"}
SUBSETS = (100, 250, 1000, 2500, 5000, 0)


def choose(now: Settings, loaded: Loaded) -> None:
    """Show the list of settings, and how to add one."""
    st.markdown("**Settings on the picture**")
    for place, curve in enumerate(curves_of(now)):
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="xsmall"):
            st.html(
                f'<span style="color:{run_colour(place, show.dark())}" aria-hidden="true">●</span> {label(now, loaded, curve)}',
                width="stretch",
            )
            if now.curves:
                st.button(
                    "", key=f"drop_{place}", icon=":material/close:", type="tertiary", on_click=_remove, args=(curve,),
                    help="Take this setting away",
                )  # fmt: skip
    with st.popover("Add a setting", icon=":material/add:", disabled=len(curves_of(now)) >= MOST, width="stretch"):
        new = _new(now, bool(embedding_rows.open_tables(loaded.source)))
        st.button("Add", key="add_curve", type="primary", on_click=_add, args=(new,), disabled=new in curves_of(now))
    mine = own_curve(now)
    if mine not in curves_of(now):
        st.button("Add the setting of the Prune page", icon=":material/content_cut:", on_click=_add, args=(mine,), width="stretch")
    if now.targets and any(curve.chosen for curve in curves_of(now)):
        st.caption(
            "Targets from Sensitivity share out one total, and a curve has many: here the scope decides what each of their layers gives. "
            "Measure what the targets cost together on the Prune page."
        )
    if now.mode not in DRAWN:
        instead = "" if now.curves else " Here its criterion is applied to single weights, the same share of each layer."
        st.caption(f"A pattern N:M has one sparsity, so it has no curve: measure it on the Prune page.{instead}")


def _new(now: Settings, tables: bool) -> Curve:
    """Show what a new curve can be, and return it."""
    said = {mode: MODES[mode] for mode in DRAWN} | ({TABLE_ROWS: "Rows of tables"} if tables else {})
    mode = str(st.segmented_control("Mode", list(said), format_func=said.__getitem__, default=DRAWN[0], required=True, key="add_mode"))
    rows, mode = mode == TABLE_ROWS, "structured" if mode == TABLE_ROWS else mode
    names, shares = list(drawn_criteria_of(mode)), list(scopes_of(mode))
    if rows:
        control("row_criterion")
    criterion = (
        names[0] if rows else st.selectbox("Criterion", names, format_func=setting_controls.criterion_name, key=f"add_criterion_{mode}")
    )
    scope = st.selectbox("Scope", shares, format_func=setting_controls.SCOPES.__getitem__, key=f"add_scope_{mode}")
    after = str(st.selectbox("After the cut", list(RECOVERIES), format_func=RECOVERIES.__getitem__, key="add_recovery"))
    if after == "f":
        epochs = st.number_input("Epochs for every point", min_value=1, max_value=50, value=1, step=1, key="add_epochs")
        after = f"f{int(epochs)}"
        st.caption("Fine-tuning is carried out anew for every point, with the other choices of the Recover page.")
    st.caption("N:M has one sparsity, so it has no curve.")
    return Curve(mode, str(criterion), str(scope), recovery=after, rows=rows)


def _add(curve: Curve) -> None:
    """Add a curve."""
    now = session.settings()
    session.change(curves=tuple(dict.fromkeys([*curves_of(now), curve]))[:MOST])


def _remove(curve: Curve) -> None:
    """Take a curve away."""
    session.change(curves=tuple(other for other in session.settings().curves if other != curve))


def split_of(now: Settings, data: Data) -> str:
    """Return the split to measure on: validation to choose by, where there is one."""
    return "test" if now.split == "test" or data.validation is None else "validation"


def how(now: Settings, data: Data, task: Task) -> str:
    """Show on which samples, how many points and how many seeds; return the split."""
    split = _split(now, data, task)
    whole = len(getattr(data, split))
    offered = list(dict.fromkeys([n for n in SUBSETS if n and n < whole] + [0, now.measured_images if now.measured_images < whole else 0]))
    offered = sorted(offered, key=lambda n: n or whole)
    st.selectbox(
        capital(task.units_of_data), offered, format_func=lambda n: f"all {whole:,}" if not n else f"{n:,} of {whole:,}",
        help="A fixed, stratified subset first: quick, with wider bands. All of them when it matters.",
        **session.bind("measured_images", start=offered, show=lambda n: 0 if n >= whole else n),
    )  # fmt: skip
    with st.expander("Points and seeds", icon=":material/tune:"):
        control("evaluations")
        control("repeats")
    return split


def _split(now: Settings, data: Data, task: Task) -> str:
    """Show which split is used, and why."""
    if data.validation is None:
        st.caption(
            f"Measured on {len(data.test):,} test {task.units_of_data}: these data have no validation split, so the same "
            f"{task.units_of_data} choose and confirm."
        )
        return "test"
    splits = {"validation": "Validation", "test": "Test"}
    chosen = st.segmented_control(
        "Measured on", list(splits), format_func=splits.__getitem__, required=True,
        help=(
            f"{len(data.validation):,} validation and {len(data.test):,} test {task.units_of_data}. "
            "Choose a sparsity by the validation split; keep the test split for the last word, otherwise it flatters what was chosen on it."
        ),
        **session.bind("split", start="default", show=lambda s: s or "validation", take=lambda s: "" if s == "validation" else s),
    )  # fmt: skip
    return str(chosen)


def axes(now: Settings, metric: Metric, whole: Evaluation | None, names: tuple[str, ...]) -> Metric:
    """Show what is drawn against what, and which figure of it; return that figure."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        metric = metric if whole is None else metric_controls.choose(now, whole, names)
        assert set(ACROSS) == set(AXES)
        st.segmented_control(
            "Across", list(ACROSS), format_func=ACROSS.__getitem__, required=True, **session.bind("across", start="default")
        )
        st.segmented_control(
            "Up", ["accuracy", "drop"], format_func={"accuracy": metric.title, "drop": "Against dense"}.__getitem__, required=True,
            **session.bind("down", start="default"),
        )  # fmt: skip
        st.segmented_control(
            "Save as",
            ["PNG", "SVG"],
            default="PNG",
            key="picture_form",
            help="The camera above the picture saves what you see.",
        )
    return metric
