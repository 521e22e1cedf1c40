"""The Find page: the best so far, the front of quality against cost, and every trial with what can be done with its run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd
import streamlit as st

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.errors import PrunekitError
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.records import Run
from prunekit.experiments.save_run import is_here
from prunekit.experiments.search.request import Found, SearchRequest, Trial
from prunekit.formatting import count, milliseconds, percent, plural, size
from prunekit.plots.search_front import search_caption, search_front
from prunekit.tasks.metrics import PERCENT
from prunekit.tasks.protocol import Task
from prunekit.tasks.wording import alike, capital, change_text, lost_of, written
from prunekit.ui import routes
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import show
from prunekit.ui.find import question
from prunekit.ui.sensitivity.targets import adopt
from prunekit.ui.shared import measuring
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.page_settings import MOST_RUNS
from prunekit.ui.state.settings import Settings

STATES = {"holds": "✓ holds", "falls": "✗ loses too much", "failed": "could not be made"}
FEWER = "Fewer where a first look was enough to see that it falls."
TICKED = "find_ticked"
UNITS = {"params": "Parameters", "macs": "MACs", "bytes": "Bytes", "latency": "MACs"}


def results(now: Settings, loaded: Loaded, request: SearchRequest, found: Found | None, task: Task) -> None:
    """Show what is known, while it grows and afterwards."""
    job = question.job_of(request)
    if job is not None and job.warning:
        st.warning(show.plain(job.warning), icon=":material/warning:")
    if job is not None and job.active:

        def draw(job: Job) -> None:
            if job.partial and job.partial[-1].trials:
                _best(job.partial[-1], request, task)
                _front(job.partial[-1], request, task)
            else:
                st.caption("First each layer or group is pruned alone, which tells where to begin; then trials appear here.")

        measuring.panel(job.key, draw)
        return
    if job is not None:
        measuring.panel(job.key)
    if found is None or not found.trials:
        show.empty(
            "Nothing has been searched with this question yet. Press **Start**: the first trials follow from what each layer costs "
            "alone, as far as that could be measured, and the others go on until the time is over. Cancel keeps all that was tried.",
            "travel_explore",
        )
        return
    _best(found, request, task)
    _front(found, request, task)
    _table(now, loaded, found)


def _best(found: Found, request: SearchRequest, task: Task) -> None:
    """Show the best trial beside the dense model, and what the test samples say of it."""
    metric, units, best, told = found.dense.metric, task.units_of_data, found.best, found.confirmation
    with show.slot(), st.container(horizontal=True):
        cost = "—" if best is None else _cost(found.minimise, float(best.cost or 0.0))
        share = "" if best is None else f"{percent(float(best.cost or 0.0) / found.before)} of "
        show.tile(UNITS[found.minimise], cost, "counted" if best else "", f"{share}dense {_cost(found.minimise, found.before)}")
        value = "—" if best is None else written(metric, float(best.value or 0.0))
        dense = f"dense {written(metric, found.dense.value)}, n = {found.dense.n:,}"
        show.tile(f"{metric.title}, {request.split}", value, "measured" if best else "", dense)
        if told is None:
            show.tile("Change on test", "—", "", "not confirmed yet")
        else:
            drop = told.drop
            between = f"{change_text(metric, drop.low).removesuffix(' points')} to {change_text(metric, drop.high)}, n = {drop.n:,}"
            show.tile("Change on test", change_text(metric, drop.value), "measured", between)
        if found.minimise == "latency":
            _time(found)
    if best is None:
        st.info("Nothing that was tried holds yet: allow a larger loss, more epochs, or more time.", icon=":material/block:")
        return
    words = f"**Best so far, trial {best.number}**: {show.plain(best.title)}."
    if told is not None:
        words += f" {'✓' if told.holds else '✗'} {show.plain(told.sentence)}"
    elif request.split == "test":
        words += f" The same {units} chose and confirm here: there is no validation split."
    else:
        words += f" The test {units} confirm the best one once the time is over; after Cancel, go on."
    if found.time is not None:
        words += f" Fastest of the {len(found.times)} finalists by MACs, measured in turns on this machine."
    st.markdown(words)


def _time(found: Found) -> None:
    """Show how long the best takes beside the dense model; MACs are counted, and only this is measured."""
    if (time := found.time) is None:
        show.tile("Time here", "—", "", "timed at the end")
        return
    between = f"{percent(time.low)} to {percent(time.high)} of dense"
    show.tile(
        "Time here",
        f"{milliseconds(time.median_ms)} ms",
        "measured",
        between,
        f"{percent(time.ratio)} of dense; one sample, one thread, in torch",
    )


def _cost(goal: str, cost: float) -> str:
    """Return what is minimised without its unit, which the label says."""
    return size(cost) if goal == "bytes" else count(cost)


def frame_of(found: Found) -> pd.DataFrame:
    """Return the trials that were measured as rows."""
    return pd.DataFrame([asdict(trial) for trial in found.trials if trial.cost is not None], columns=list(Trial.__dataclass_fields__))


def _front(found: Found, request: SearchRequest, task: Task) -> None:
    """Draw quality against cost."""
    frame, metric = frame_of(found), found.dense.metric
    if frame.empty:
        return
    what: dict[str, Any] = {"goal": found.minimise, "before": found.before, "dense": found.dense.value}
    what |= {"allowed": found.allowed, "metric": metric}
    best = -1 if found.best is None else found.best.number
    fig = search_front(frame, **what, best=best, chance=found.dense.chance, dark=show.dark())
    show.chart(fig, "search_front", search_caption(frame, **what, units=f"{request.split} {task.units_of_data}"))


def _table(now: Settings, loaded: Loaded, found: Found) -> None:
    """Show every trial, and what can be done with the run of the one that is picked."""
    show.section("Every trial is a run")
    metric = alike(found.dense.metric, found.dense.value)
    order = {state: place for place, state in enumerate(STATES)}
    trials = sorted(found.trials, key=lambda t: (order[t.state], float(t.cost or 0.0), float(t.loss or 0.0)))
    scale = 100 if metric.unit == PERCENT else 1
    frame = pd.DataFrame(
        [
            (
                t.number, STATES[t.state], None if t.cost is None else 100 * t.cost / found.before,
                None if t.value is None else scale * t.value, None if t.loss is None else scale * t.loss, t.samples or None,
                t.params or None, t.macs or None, t.bytes or None, t.title or t.error, t.seconds, t.run[: picked_runs.DIGITS],
            )
            for t in trials
        ],
        columns=["trial", "state", "share", "value", "loss", "n", "params", "macs", "bytes", "setting", "seconds", "run"],
    )  # fmt: skip
    runs = {t.run[: picked_runs.DIGITS]: t for t in trials if t.run}
    names = [t.run[: picked_runs.DIGITS] for t in trials]
    key = f"find_trials_{measuring.key_of(names)}"
    ticked = _ticked(now, found, runs, st.session_state.get(TICKED))
    st.dataframe(
        frame, column_config=_columns(found, frame), hide_index=True, key=key, height="content" if len(frame) <= 8 else 320,
        on_select=lambda: _take(key, names, ticked), selection_mode="multi-row",
        selection_default={"selection": {"rows": [names.index(name) for name in ticked]}},
        column_order=["trial", "state", "share", "value", "loss", "setting", "n", "params", "macs", "bytes", "seconds", "run"],
        alt="Every trial of the search with its cost, quality and setting",
    )  # fmt: skip
    begun = st.session_state.get(TICKED) is None and any(t.number == 0 for t in trials)
    said = "Ticked at first are the best and trial 0, where the search began. " if begun else ""
    said += "Ticked rows are compared with each other and with the dense model; the last one ticked is opened or exported."
    if len(trials) <= max(t.number for t in trials):
        said += " Numbers that are missing were stopped, or led to a run that is in the table already."
    st.caption(said)
    failed = [t for t in trials if t.state == "failed"]
    if failed:
        st.caption(f"{plural(len(failed), 'setting')} could not be made; the first because {show.plain(failed[0].error)}.")
    if ticked:
        _actions(now, loaded, runs[now.opened if now.opened in ticked else ticked[0]], ticked)
    csv = pd.DataFrame([asdict(t) for t in found.trials]).to_csv(index=False)
    st.download_button("Download as CSV", data=csv, file_name="search.csv", mime="text/csv", icon=":material/download:", on_click="ignore")


def _columns(found: Found, frame: pd.DataFrame) -> dict[str, Any]:
    """Return how the columns look; those that are None can be shown from the menu of the table."""
    column, metric, alike_n = st.column_config, found.dense.metric, frame["n"].nunique() < 2
    form = "%.1f %%" if metric.unit == PERCENT else "%.4g"
    unit = f", {metric.unit}" if metric.unit not in ("", PERCENT) else ""
    return {
        "trial": column.NumberColumn("Trial", width=45),
        "state": column.TextColumn("", width=110),
        "share": column.NumberColumn(f"{UNITS[found.minimise]}, of dense", format="%.1f %%", width=138),
        "value": column.NumberColumn(f"{metric.title}{unit}", format=form, width=78),
        "loss": column.NumberColumn(capital(lost_of(metric)), format="%.1f" if metric.unit == PERCENT else "%.3g", width=148),
        "n": None if alike_n else column.NumberColumn("n", format="localized", width=50, help=FEWER),
        "setting": show.text_column("Setting", frame["setting"], 286 if alike_n else 231),
        **{name: show.hidden_count(UNITS[name]) for name in ("params", "macs", "bytes")},
        **dict.fromkeys(("seconds", "run")),
    }


def _ticked(now: Settings, found: Found, runs: Mapping[str, Trial], before: tuple[str, ...] | None) -> list[str]:
    """Return the runs whose rows are ticked: until somebody does, the best and the first trial, where the search began."""
    if now.opened in runs and now.opened not in (before or ()):
        return [now.opened]
    if before is not None and (not before or not runs.keys().isdisjoint(before)):
        return [name for name in before if name in runs]
    first = next((trial for trial in found.trials if trial.number == 0), None)
    usual = [trial.run[: picked_runs.DIGITS] for trial in (found.best, first) if trial is not None and trial.run]
    return list(dict.fromkeys(usual)) or list(runs)[:1]


def _take(key: str, names: list[str], shown: list[str]) -> None:
    """Take the ticked rows; a table's callback. A table that goes away reports the rows that were shown, which nobody ticked."""
    rows = [names[int(row)] for row in st.session_state[key]["selection"]["rows"]]
    if set(rows) == set(shown):
        return
    new = [name for name in rows if name not in shown and name]
    ticked = [*(name for name in shown if name in rows), *new]
    st.session_state[TICKED] = tuple(ticked)
    session.change(opened=ticked[-1] if ticked else "")


def _actions(now: Settings, loaded: Loaded, trial: Trial, ticked: list[str]) -> None:
    """Offer to open a trial's run and to export it, and to compare all that are ticked."""
    kept = board().store
    name = trial.run[: picked_runs.DIGITS]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Trial {trial.number}, run `{name}`:")
        if st.button("Open on Prune", key="find_prune", icon=":material/content_cut:", disabled=kept is None):
            assert kept is not None
            with show.plain_errors():
                open_setting(loaded, kept.find(trial.run))
            st.switch_page(routes.page("prune"))
        words = f"Compare {len(ticked)}" if len(ticked) > 1 else "Compare"
        if st.button(words, key="find_compare", icon=":material/compare_arrows:", disabled=kept is None):
            others = [each for each in now.runs if each not in ticked]
            picked_runs.take((*others, *ticked)[-MOST_RUNS:])
            st.switch_page(routes.page("compare"))
        gone = kept is None or not is_here(kept.find(trial.run), kept)
        why = "Weights of a trial that falls are not kept: open it on Prune and recover it." if gone and kept is not None else None
        if st.button("Export", key="find_export", icon=":material/archive:", disabled=gone, help=why):
            session.change(opened=name)
            st.switch_page(routes.page("export"))


def open_setting(loaded: Loaded, run: Run) -> None:
    """Take the setting of a run for the Prune page, and what followed the cut for the Recover page."""
    if run.spec is None:
        raise PrunekitError("this run is the dense model: it has no setting to open")
    adopt(loaded, PruneSpec.from_dict(run.spec))
    after = Recovery.from_dict(run.recovery) if run.recovery else Recovery()
    tuning = {"optimizer": after.optimizer, "lr": after.lr} if after.epochs else {}
    session.change(recalibrate=after.recalibrate, epochs=after.epochs, **tuning)
