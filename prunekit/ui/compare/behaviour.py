"""What runs do differently: classes, confusion, and the samples whose prediction flips."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from prunekit.comparison.behaviour import Behaviour, changed_samples
from prunekit.comparison.comparison import Comparison
from prunekit.evaluation.paired import figures_by_class, figures_by_group
from prunekit.experiments.jobs import board
from prunekit.experiments.store import RunStore
from prunekit.formatting import listed, percent
from prunekit.plots.compare_classes import class_dumbbells, classes_caption, most_changed
from prunekit.reports import pictures
from prunekit.reports.material import groups_of
from prunekit.tasks.classification import ACCURACY, IMAGES
from prunekit.tasks.metrics import Metric
from prunekit.tasks.resolver import resolve
from prunekit.tasks.wording import capital
from prunekit.ui.compare import picked_runs, prompt
from prunekit.ui.components import show
from prunekit.ui.shared import asking, measuring
from prunekit.ui.shared.cache import shared
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

PICTURED = 6  # images whose answers are drawn
SHEET = 18  # images on one page
Key: TypeAlias = tuple[Hashable, ...]
IN_BRACKETS = "In brackets: how many rows of the training data are of the same one; each group is a third of those measured here."
KINDS = {"all": "All that flip", "lost": "Right, then wrong", "won": "Wrong, then right"}


def samples(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show which samples changed most between the dense model and a run."""
    dense = found.baseline.accuracy
    known = [column for column in found.columns if column.accuracy is not None]
    if dense is None or not known:
        show.empty(
            f"What each run answers is known once {found.quality.phrase} was measured: press **Measure what is missing**.", "visibility"
        )
        return
    letters = [column.letter for column in known]
    place = min(now.behind, len(letters) - 1)
    if len(letters) > 1:
        st.segmented_control(
            "Compare with dense", range(len(letters)), required=True, format_func=letters.__getitem__,
            **session.bind("behind", start="default", show=lambda _: place),
        )  # fmt: skip
    run = known[place].accuracy
    assert run is not None
    frame = changed_samples(dense, run)
    told = picked_runs.split_with_names(found)
    if dense.task is not None and dense.task.by_class(dense.observations):
        _by_class(found, told[1] if told else ())
    if told:
        _by_group(found)
    units = found.units if dense.task is None else dense.task.answered[1]
    show.section(f"Which {units} change most from dense to {letters[place]}?")
    if frame.empty:
        st.caption(f"Every one of {dense.n:,} {found.units} is answered as before.")
        return
    if told:
        prompt.changed(found, store, known[place].letter, [int(i) for i in frame["sample"][:PICTURED]], told)
    split = told[0] if told else None
    forms: dict[str, Any] = {name: st.column_config.NumberColumn(name, format="%.4g") for name in frame.columns if name != "sample"}
    texts = [each.text if (each := resolve(None, split).shown(split, int(i))) else "" for i in frame["sample"]] if told else []
    if any(texts):
        frame.insert(1, "text", texts)
        forms["text"] = st.column_config.TextColumn("text", width=420)
    forms["change"] = st.column_config.NumberColumn("change", format="%.2f", help=f"{capital(frame.attrs['in'])}.")
    st.dataframe(
        frame, hide_index=True, column_config={"sample": "no.", **forms}, height=420 if len(frame) > 11 else "content",
        alt="Samples whose answer changed most",
    )  # fmt: skip
    groups = dense.observations.groups
    n = dense.n if groups is None or units == found.units else len(np.unique(groups))
    st.caption(caption(frame, letters[place], n, units))


def _measured(found: Comparison) -> Key:
    """Return what tells what was measured of runs from all else."""
    return (*picked_runs.names_of(found), *(0 if column.accuracy is None else column.accuracy.n for column in found.all))


@shared(8)
def _classes_of(key: Key, _found: Comparison, names: tuple[str, ...]) -> pd.DataFrame:
    """Return the figures of classes by run, resampled once."""
    return figures_by_class({column.letter: column.accuracy for column in _found.all if column.accuracy is not None}, names)


def _by_class(found: Comparison, names: tuple[str, ...]) -> None:
    """Show what runs do to the classes of a task whose observations tell it."""
    show.section("Which classes lose?")
    key = _measured(found)
    with st.spinner(f"Resampling {found.units} for each class …"):
        frame = most_changed(_classes_of(key, found, tuple(names)))
    assert found.baseline.accuracy is not None and found.baseline.accuracy.task is not None
    kind = found.baseline.accuracy.task.by_class(found.baseline.accuracy.observations, ("the class",))[0]
    show.chart(class_dumbbells(frame, what=kind.title, dark=show.dark()), "classes_by_figure", classes_caption(frame))


@shared(8)
def _groups_of(key: Key, _found: Comparison) -> tuple[Mapping[str, NDArray[np.bool_]], tuple[Metric, ...]]:
    """Return groups of the samples, and the metrics to see by them."""
    return groups_of(_found)


@shared(8)
def _figures_of(key: Key, _found: Comparison) -> tuple[tuple[Metric, pd.DataFrame], ...]:
    """Return the figures of groups of samples by run, for each metric that tells of them, resampled once."""
    seen = {column.letter: column.accuracy for column in _found.all if column.accuracy is not None}
    groups, metrics = _groups_of(key, _found)
    return tuple((metric, figures_by_group(seen, groups, metric)) for metric in metrics)


def _by_group(found: Comparison) -> None:
    """Show what runs do to groups of samples that a task tells of, such as new users."""
    key = _measured(found)
    with show.plain_errors(stop=False):
        groups, _ = _groups_of(key, found)
        if not groups:
            return
        show.section("Which groups lose most?")
        if _figures_of.known(key, found) is None and not st.button("Compare groups", key="compare_groups", icon=":material/groups:"):
            st.caption(f"{capital(listed(list(groups)))}. {IN_BRACKETS} Each group is resampled for each run, which takes some seconds.")
            return
        with st.spinner("Resampling each group …"):
            told = _figures_of(key, found)
        for box, (metric, frame) in zip(st.columns(len(told), gap="medium"), told, strict=True):
            fig = class_dumbbells(frame, what=f"{metric.title} within the group", dark=show.dark(), metric=metric, intervals=True)
            with box:
                show.chart(fig, f"groups_{metric.name}", classes_caption(frame, metric=metric, kind="group"))
        st.caption(
            f"{IN_BRACKETS} Only {found.units} of the group are ordered and counted. A line through a dot is the paired 95\u202f% interval "
            "of the change from dense."
        )


def caption(frame: pd.DataFrame, letter: str, n: int, units: str) -> str:
    """Say how much the first of them changed, and how many are shown."""
    first = frame.iloc[0]
    return (
        f"No. {int(first['sample'])} changes most from dense to {letter}: by {first['change']:.2f} {frame.attrs['in']}. Shown: "
        f"the {len(frame):,} that changed most, of {n:,} {units}."
    )


def behaviour(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show what the runs say about the same samples, and about a text of one's own where they take one."""
    if found.quality.name == ACCURACY.name:
        _classes(now, found, store)
    else:
        samples(now, found, store)
    prompt.section(now, found, store)


def _classes(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show what classifiers say about the same samples, or offer to ask them."""
    told = picked_runs.behaviour_of(found, store)
    if told is None:
        _ask(found, store)
        return
    letters = [column.letter for column in found.columns if column.letter in told.confusion]
    if len(letters) > 1:
        st.segmented_control(
            "Compare with dense", range(len(letters)), required=True, format_func=letters.__getitem__,
            **session.bind("behind", start="default", show=lambda place: min(place, len(letters) - 1), then=_behind),
        )  # fmt: skip
    look = picked_runs.view_of(now, found, [])
    drawn = pictures.of_behaviour(told, look, show.dark())
    for box, picture in zip(st.columns(len(drawn), gap="medium"), drawn, strict=True):
        with box:
            show.pictures([picture])
    _flips(now, found, told, look.behind)


def _behind(place: int) -> None:
    """Take another run."""
    session.change(behind=place, sheet=1)


def _ask(found: Comparison, store: RunStore) -> None:
    """Offer to let all runs predict."""
    job = board().get(picked_runs.predict_key(found))
    if job is None or not job.active:
        where = f"{found.images:,} {found.split} {found.units}" if found.images else f"{found.split} {found.units}"
        show.empty(
            f"What each run says about the {where} is not known yet. Predicting takes as long as measuring accuracy once more.",
            "visibility",
        )
        st.button(
            "Let them predict",
            key="predict",
            type="primary",
            icon=":material/visibility:",
            on_click=picked_runs.predict,
            args=(found, store),
        )
    measuring.panel(picked_runs.predict_key(found))


def _flips(now: Settings, found: Comparison, told: Behaviour, letter: str) -> None:
    """Show the samples whose prediction becomes right or wrong."""
    show.section(f"Which {found.units} flip from dense to {letter}?")
    rows = told.flips[told.flips["letter"] == letter]
    counts = {"all": len(rows), **rows["kind"].value_counts().to_dict()}
    st.segmented_control(
        "Which", list(KINDS), required=True, label_visibility="collapsed",
        format_func=lambda kind: f"{KINDS[kind]} ({counts.get(kind, 0):,})", **session.bind("flips", start="default", then=_kind),
    )  # fmt: skip
    picked = rows if now.flips == "all" else rows[rows["kind"] == now.flips]
    if picked.empty:
        what = "flip" if now.flips == "all" else "flip this way"
        st.caption(f"No {found.units} {what}: here {letter} and the dense model are right alike.")
        return
    sheets = -(-len(picked) // SHEET)
    sheet = min(now.sheet, sheets)
    _sheet(found, told, picked.iloc[(sheet - 1) * SHEET : sheet * SHEET])
    if sheets > 1:
        st.pagination(sheets, **session.bind("sheet", start="default", show=lambda _: sheet))
    st.caption(flips_caption(rows, letter, told.classes, resolve(None, picked_runs.split_with_names(found)[0]).count))


def _sheet(found: Comparison, told: Behaviour, rows: pd.DataFrame) -> None:
    """Show some samples with their label, both predictions and how sure they were."""
    split, _ = picked_runs.split_with_names(found)
    shown = [resolve(None, split).shown(split, int(place)) for place in rows["image"]]
    if any(each is None or each.picture is None for each in shown):
        _rows(rows, told.classes, [each.text if each else "" for each in shown])
        return
    with st.grid(6, min_column_width=120, gap="small"):
        for row in rows.to_dict("records"):
            with st.container(border=True, gap="xsmall"):
                _tile(split, row, told.classes)


def _rows(rows: pd.DataFrame, classes: tuple[str, ...], texts: list[str]) -> None:
    """Show samples that are no pictures as a table, with their texts where they have some."""
    named = {name: rows[name].map(lambda k: classes[int(k)]) for name in ("label", "before", "after")}
    sure = {f"{side} sure, %": 100 * rows[f"{side}_confidence"] for side in ("before", "after")}
    forms: dict[str, Any] = dict.fromkeys(sure, st.column_config.NumberColumn(format="%.0f"))
    if any(texts):
        named, forms["text"] = {**named, "text": texts}, st.column_config.TextColumn("text", width=420)
    st.dataframe(
        pd.DataFrame({"no.": rows["image"], **named, **sure}), hide_index=True, column_config=forms,
        alt="Samples whose prediction flips",
    )  # fmt: skip


def _tile(split: Any, row: dict[Any, Any], classes: tuple[str, ...]) -> None:
    """Show one image."""
    truth, before, after = (classes[int(row[name])] for name in ("label", "before", "after"))
    picture = asking.enlarge(split.picture(int(row["image"])), 96)
    st.image(picture, width=96, alt=f"Test image {row['image']}, a {truth}: the dense model says {before}, the run says {after}")
    marks = {True: ":green[✓]", False: ":red[✗]"}
    st.caption(
        f"is **{show.plain(truth)}**  \n"
        f"Dense {marks[before == truth]} {show.plain(before)}, {percent(float(row['before_confidence']), 0)}  \n"
        f"{row['letter']} {marks[after == truth]} {show.plain(after)}, {percent(float(row['after_confidence']), 0)}"
    )


def _kind(kind: str) -> None:
    """Take another kind of flips."""
    session.change(flips=kind, sheet=1)


def flips_caption(rows: pd.DataFrame, letter: str, classes: tuple[str, ...], counted: Callable[[int], str] = IMAGES.count) -> str:
    """Say how many samples flip each way, and which class loses most."""
    lost, won = rows[rows["kind"] == "lost"], rows[rows["kind"] == "won"]
    text = f"{letter} gets {counted(len(lost))} wrong that the dense model got right, and {len(won):,} right that it got wrong."
    if len(lost):
        worst = lost["label"].value_counts()
        text += f" Most of the lost ones are **{classes[int(worst.idxmax())]}** ({int(worst.max()):,})." if worst.max() > 1 else ""
        sure = lost.loc[lost["after_confidence"].idxmax()]
        text += f" In the worst, {letter} is {percent(float(sure['after_confidence']), 0)} sure of “{classes[int(sure['after'])]}”."
    return text
