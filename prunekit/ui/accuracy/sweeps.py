"""The page "Quality vs sparsity": its curves, and the jobs that measure them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from prunekit.config.choices import SEEDED, SPARSITY, TABLE_ROWS
from prunekit.config.field_table import ROWS
from prunekit.data.dataset import Data
from prunekit.errors import StoreError
from prunekit.evaluation.sweep import SweepPoint
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.requests import SweepRequest
from prunekit.experiments.sweep_run import known_seeds
from prunekit.formatting import plural
from prunekit.tasks.input_form import form_of_data
from prunekit.ui.classroom import rules
from prunekit.ui.components import setting_controls
from prunekit.ui.recover import options
from prunekit.ui.shared import data_cache, measuring
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state.page_settings import Curve
from prunekit.ui.state.settings import Settings

DRAWN = ("unstructured", "structured")
RECOVERIES = {"": "Nothing", "r": "BatchNorm recalibrated", "f": "Fine-tuned", "p": "As on the Recover page"}


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
    return now.curves or (own_curve(now),)


def own_curve(now: Settings) -> Curve:
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
