"""Structured or unstructured? Both at equal budgets, measured on this machine: one picture, one table, and when to use which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import streamlit as st

from prunekit.data.load import load_data
from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import Cancelled
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.formatting import percent, plural
from prunekit.lessons.budgets import Advice, at_equal_budgets, when_to_use
from prunekit.lessons.choose import PICKS
from prunekit.plots import lessons, lessons_measured
from prunekit.plots.lessons_measured import BUDGETS, NAMES
from prunekit.ui.components import show
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.state import session
from prunekit.ui.state.page_settings import KEEPS
from prunekit.ui.state.settings import Settings

MODEL, DATA = "digits_cnn", "digits"
GOAL_BUDGETS = {"maximum compression": "bytes", "sparse accelerator": "macs", "phone or edge": "ms", "plain CPU or GPU server": "ms"}
"""Which of the budgets says most about a goal."""


@dataclass(frozen=True, eq=False)
class Budgeted:
    """What was measured at one budget, or why it could not be."""

    budget: str
    frame: pd.DataFrame | None  # from `at_equal_budgets`
    refusal: str = ""  # in words, where there is no frame


def draw(now: Settings) -> None:
    """Show what is asked, and what was found."""
    show.section(
        "Structured or unstructured?",
        "The digits network is pruned twice to the same budget, by single weights and by whole channels, and nothing is repaired. "
        "Which copy reads more digits right, and which is really smaller or faster here?",
    )
    key = key_of(now.keep)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.select_slider(
            "How much of the budget may stay", KEEPS, format_func=lambda share: f"{share}\u202f%", width=340, **session.bind("keep")
        )
        done = measuring.finished(key) is not None
        st.button("Measure again" if done else "Measure at all four budgets", key="measure_versus", icon=":material/play_arrow:",
                  type="secondary" if done else "primary", on_click=_ask, args=(now.keep,), disabled=_running(key))  # fmt: skip
    measuring.panel(key, lambda job: _results(list(job.partial), now.large, "live"))
    found: list[Budgeted] | None = measuring.finished(key)
    if found is not None:
        _results(found, now.large, "done")
        _advice(found)
    elif not _running(key):
        show.empty(
            "Nothing has been measured yet with this share. It takes a minute or two, and nothing else is measured meanwhile.", "balance"
        )


def key_of(keep: int) -> str:
    """Return what the job is called."""
    return measuring.key_of("versus", MODEL, keep)


def _running(key: str) -> bool:
    """Return whether it is being measured."""
    job = board().get(key)
    return job is not None and job.active


def _ask(keep: int) -> None:
    """Measure at all four budgets; a callback."""
    board().drop(key_of(keep))
    measuring.start(key_of(keep), f"Both kinds at {keep}\u202f%", lambda job: measured(job, keep), alone=True)


def measured(job: Job, keep: int) -> list[Budgeted]:
    """Measure at one budget after the other; the job's work."""
    model, data, budgets = model_cache.load(Source(MODEL)).model, load_data(DATA), list(BUDGETS)
    for place, budget in enumerate(budgets):
        progress = job.progress.step(place, len(budgets), f"{BUDGETS[budget]}: ")
        try:
            job.add(Budgeted(budget, at_equal_budgets(model, data, budget, keep / 100, progress=progress)))
        except Cancelled:
            raise
        except PrunekitError as refusal:
            job.add(Budgeted(budget, None, str(refusal)))
    return list(job.partial)


def _results(found: Sequence[Budgeted], large: bool, key: str) -> None:
    """Show the picture, its table, and what could not be measured."""
    frame = together(found)
    for budgeted in found:
        if budgeted.frame is None:
            st.warning(f"{BUDGETS[budgeted.budget]}: {show.plain(budgeted.refusal)}", icon=":material/info:")
    if frame.empty:
        return
    figure = lessons_measured.equal_budgets(frame, dark=show.dark())
    show.chart(lessons.enlarged(figure) if large else figure, f"versus_{key}", caption(frame))
    st.dataframe(table(frame), hide_index=True, column_config=_columns(), key=f"versus_table_{key}", alt="Both kinds at equal budgets")


def together(found: Sequence[Budgeted]) -> pd.DataFrame:
    """Return all budgets in one table, with the column ``budget``."""
    frames = [budgeted.frame.assign(budget=budgeted.budget) for budgeted in found if budgeted.frame is not None]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def caption(frame: pd.DataFrame) -> str:
    """Say at how many budgets which kind is ahead beyond chance."""
    pairs = [rows.set_index("kind") for _, rows in frame.groupby("budget", sort=False)]
    sure = [rows for rows in pairs if rows.loc["structured", "p_value"] < 0.05]
    ahead = sum(rows.loc["unstructured", "accuracy"] > rows.loc["structured", "accuracy"] for rows in sure)
    images = int(frame.images.iloc[0])
    return (
        f"On {images} test images single weights are ahead beyond chance at {plural(int(ahead), 'budget')} of {len(pairs)}, whole channels "
        f"at {len(sure) - int(ahead)}; lines are 95\u202f% intervals."
    )


def table(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the table as it is shown: the original once, then both copies at each budget."""
    dense = frame[frame.kind == "dense"].head(1).assign(budget="")
    rows = pd.concat([dense, frame[frame.kind != "dense"]], ignore_index=True)
    shown = {"at": rows.budget.map(BUDGETS).fillna(""), "copy": rows.kind.map(NAMES), "accuracy": 100 * rows.accuracy}
    shown |= {"params": rows.params, "macs": rows.macs, "bytes": rows.bytes}
    shown |= {"ms": _times(rows.ms, rows.ratio, 2), "ms_one": _times(rows.ms_one, rows.ratio_one, 3)}
    within = rows.within.map({True: "yes", False: "no"}).where(rows.kind != "dense", "")
    return pd.DataFrame(shown).assign(within=within)


def _times(ms: pd.Series, ratios: pd.Series, places: int) -> list[str]:
    """Return times with their share of the original's: it took its turns beside each pair, and only that share can be compared."""
    return [_time(time, ratio, places) for time, ratio in zip(ms, ratios, strict=True)]


def _time(time: float | None, ratio: float | None, places: int) -> str:
    """Return one time; nothing where it could not be measured."""
    if time is None or pd.isna(time):
        return ""
    return f"{time:.{places}f}" + ("" if ratio is None or pd.isna(ratio) else f" ({percent(ratio, 0)})")


def _columns() -> dict[str, Any]:
    """Return how the columns look."""
    column = st.column_config
    beside = "In brackets: the share of the original's time, measured in turns with it. Compare these: milliseconds drift."
    return {
        "at": column.TextColumn("Budget"),
        "copy": column.TextColumn("Copy"),
        "accuracy": column.NumberColumn("Right", format="%.1f %%"),
        "params": column.NumberColumn("Weights left", format="localized"),
        "macs": column.NumberColumn("Multiplications", format="localized", help="By weights that are not zero."),
        "bytes": column.NumberColumn("Bytes", format="localized", help="Zeros in the smallest sparse format, channels after surgery."),
        "ms": column.TextColumn("64 images, ms", help=beside, alignment="right"),
        "ms_one": column.TextColumn("1 image, ms", help=beside, alignment="right"),
        "within": column.TextColumn("In budget", help="Whether the copy keeps to the budget."),
    }


def _advice(found: Sequence[Budgeted]) -> None:
    """Say when to use which."""
    show.section("When to use which?", "From the measurements above, each goal with the two copies that say most about it.")
    advice = advised(found)
    for start in range(0, len(advice), 2):
        for place, (budget, line) in zip(st.columns(2), advice[start : start + 2], strict=False):
            with place, st.container(border=True, height="stretch"):
                st.markdown(f"**{line.goal[0].upper()}{line.goal[1:]}: {PICKS[line.pick]}**  \n{show.plain(line.sentence)}")
                st.caption(f"Both copies were cut to the {BUDGETS[budget]}.")


def advised(found: Sequence[Budgeted]) -> list[tuple[str, Advice]]:
    """Return for each goal the advice from the budget that says most about it, with that budget; left out where it was not measured."""
    frames = {budgeted.budget: budgeted.frame for budgeted in found if budgeted.frame is not None}
    by_budget = {budget: {line.goal: line for line in when_to_use(frame)} for budget, frame in frames.items()}
    return [(budget, by_budget[budget][goal]) for goal, budget in GOAL_BUDGETS.items() if budget in by_budget]
