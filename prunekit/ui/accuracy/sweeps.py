"""The page "Quality vs sparsity": which settings are on the picture, and the jobs that measure them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from prunekit.config.choices import SEEDED, SPARSITY, TABLE_ROWS, drawn_criteria_of, scopes_of
from prunekit.config.field_table import ROWS
from prunekit.data.dataset import Data
from prunekit.errors import StoreError
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import SweepPoint
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.requests import SweepRequest
from prunekit.experiments.sweep_run import known_seeds
from prunekit.formatting import plural
from prunekit.plots.quality_curves import AXES
from prunekit.plots.theme import run_colour
from prunekit.tasks.input_form import form_of_data
from prunekit.tasks.metrics import Metric
from prunekit.tasks.protocol import Task
from prunekit.tasks.wording import capital
from prunekit.ui.classroom import rules
from prunekit.ui.components import metric_controls, setting_controls, show
from prunekit.ui.components.field_controls import control
from prunekit.ui.prune import embedding_rows
from prunekit.ui.recover import options
from prunekit.ui.shared import data_cache, measuring
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.compatible import MODES
from prunekit.ui.state.page_settings import Curve
from prunekit.ui.state.settings import Settings

MOST = 8
DRAWN = ("unstructured", "structured")
RECOVERIES = {"": "Nothing", "r": "BatchNorm recalibrated", "f": "Fine-tuned", "p": "As on the Recover page"}
ACROSS = {"sparsity": "Sparsity", "ratio": "Compression ratio", "params": "Parameters", "macs": "MACs", "bytes": "Bytes"}
SUBSETS = (100, 250, 1000, 2500, 5000, 0)


@dataclass(frozen=True, eq=False)
class Line:
    """One setting on the picture."""

    curve: Curve
    name: str
    request: SweepRequest  # what is asked of the core
    repeats: int
    weights: str  # weights, hashed: the very model and the very images
    hashed: str

    @property
    def plain(self) -> dict[str, Any]:
        """The request of the job, as plain values."""
        return {"sweep": self.request.to_dict(), "repeats": self.repeats}

    @property
    def job(self) -> Job | None:
        """The job, if this server knows one."""
        return measuring.job(key_of("repeats", self.plain))

    @property
    def busy(self) -> bool:
        """Whether it is being measured or waits for its turn."""
        job = self.job
        return job is not None and job.active

    def points(self) -> list[SweepPoint]:
        """Return the points that are there so far: of the job, or else of the store."""
        job = self.job
        if job is not None and job.partial:
            return list(job.partial)
        return stored(self) if rules.submitted_here(key_of("repeats", self.plain)) else []

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        job = self.job
        if job is not None:
            return job.state == "done"
        return len(self.points()) >= self.request.evaluations * self.repeats


def stored(line: Line) -> list[SweepPoint]:
    """Return the points of a setting that the store holds of this very model and these very images, seed by seed."""
    kept = board().store
    if kept is None:
        return []
    try:
        return known_seeds(line.request, line.repeats, kept, line.weights, line.hashed)
    except StoreError:
        return []


def curves_of(now: Settings) -> tuple[Curve, ...]:
    """Return the curves that were picked, or the current setting alone."""
    return now.curves or (_mine(now),)


def _mine(now: Settings) -> Curve:
    """Return the setting of the Prune page as a curve; a pattern has none, single weights without it do."""
    return now.curve() if now.mode in DRAWN else now.curve(mode="unstructured")


def label(now: Settings, loaded: Loaded, curve: Curve) -> str:
    """Return what a curve is called."""
    after = options.recovery_of(now, loaded, curve.recovery).title() if curve.recovery else ""
    if curve.rows:
        return f"Rows of tables by {ROWS.titles[now.row_criterion].lower()}" + (f", {after}" if after else "")
    own = ", the layers of Prune without their targets" if now.targets else ", as on Prune"
    words = setting_controls.name_of(curve.mode, curve.criterion, curve.scope) + (own if curve.chosen else "")
    return words + (f", {after}" if after else "")


def lines_of(now: Settings, loaded: Loaded, data: Data, split: str) -> list[Line]:
    """Return everything that is on the picture."""
    model, of_data = measuring.lend(now, loaded, data)
    whole = getattr(data, split)
    images = 0 if now.measured_images >= len(whole) else now.measured_images
    weights, hashed = measuring.weights_of(now, loaded, form_of_data(whole)), data_cache.images_known(whole)
    found, free = [], now.change(overrides=()) if now.targets else now  # targets leave no room but for one total
    for curve in curves_of(now):
        over, spec = TABLE_ROWS if curve.rows else SPARSITY, free.spec(loaded.every, curve)
        spec = replace(spec, row_criterion=now.row_criterion) if curve.rows else spec
        request = SweepRequest(
            model, of_data, spec, options.recovery_of(now, loaded, curve.recovery), split, images, None, now.evaluations, over
        )  # fmt: skip
        random = curve.criterion in SEEDED or request.recovery.epochs > 0
        found.append(Line(curve, label(now, loaded, curve), request, now.repeats if random else 1, weights, hashed))
    return found


def start(lines: list[Line]) -> None:
    """Start measuring whatever is missing; a button's callback."""
    for line in lines:
        if not line.complete and not line.busy:
            measuring.ask("repeats", line.plain, line.name)


def button(lines: list[Line]) -> None:
    """Show the button that measures what is missing."""
    settled, busy = all(line.complete or line.busy for line in lines), any(line.busy for line in lines)
    words, icon = ("Measuring …", "hourglass_top") if settled and busy else ("Measured", "check") if settled else ("Measure", "speed")
    st.button(
        words,
        key="measure_curves",
        type="primary",
        icon=f":material/{icon}:",
        disabled=settled,
        on_click=start,
        args=(lines,),
        width="stretch",
    )
    open_ = [line for line in lines if not (line.complete or line.busy)]
    if begun := sum(point.requested > 0 for line in open_ for point in line.points()):  # the dense model belongs to no setting
        st.caption(
            f"{plural(begun, 'point')} of what is not complete {'is' if begun == 1 else 'are'} kept: **Measure** goes on from there."
        )


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
    mine = _mine(now)
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
