"""All runs in a table: filter, sort, and pick those that stand beside each other."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import pandas as pd
import streamlit as st

from prunekit.comparison.compare_runs import sparsity_of
from prunekit.comparison.metrics import FEWEST
from prunekit.evaluation.sizes import FOUR, comparable
from prunekit.experiments.records import KINDS, Measurement, Run
from prunekit.experiments.run_list import ALL, EARLIER, Listed, in_passing, listed, value_of
from prunekit.experiments.store import RunStore
from prunekit.formatting import plural
from prunekit.reports.table import model_name, short_title
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import LOWER
from prunekit.ui import routes
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import run_labels, show
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.page_settings import MOST_RUNS, SORTS
from prunekit.ui.state.settings import Settings

COLUMNS = ["id", "name", "run", "model", "kind", "accuracy", "quality", "good", "n", "size", "params", "sparsity", "tags", "note", "made"]
COLUMNS += ["passing", "mine"]
ORDER = ["name", "run", "model", "accuracy", "quality", "size", "sparsity", "tags", "note", "kind", "params", "n", "made", "id"]
WIDTHS = {"name": 110, "model": 110, "accuracy": 80, "quality": 130, "size": 90, "sparsity": 75, "tags": 110, "note": 110, "kind": 75}
WIDTHS |= {"n": 45, "made": 95}
WHOLE = 776  # pixels of all columns in a window of 1280: what the others leave is the title's
ORDERS = {
    "newest": "Newest first",
    "accuracy": "Best first",
    "size": "Smallest first",
    "params": "Fewest parameters first",
    "sparsity": "Sparsest first",
    "name": "By name",
}
_BY = {"newest": ("made", False), "accuracy": ("good", False), "size": ("size", True), "params": ("params", True)}
_BY |= {"sparsity": ("sparsity", False), "name": ("run", True)}


def frame_of(store: RunStore, loaded: Loaded | None = None) -> pd.DataFrame:
    """Return every run as a row, with its best-founded quality, what people say of it, and whether it is of a model (any, without one)."""
    passing, every = in_passing(store), listed(store, every=True)
    dense = {one.run.weights: one.run for one in every if one.run.kind == "dense"}
    rows = []
    for one in every:
        run, label, seen = one.run, one.label, one.accuracy
        rows.append(
            (
                *_first(one), *_quality(seen), *_counts(run, dense.get(run.weights)), list(label.tags), label.note, run.created,
                run.id in passing,
                loaded is None or picked_runs.is_of(run, loaded),
            )
        )  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _quality(seen: Measurement | None) -> tuple[float, str, float, int]:
    """Return an accuracy in percent (NaN of other metrics), any quality in words, as a number of which more is better, and n."""
    if seen is None:
        return float("nan"), "", float("nan"), 0
    value, metric = float(seen.value["value"]), seen.metric or {}
    good = -value if metric.get("better") == LOWER else value
    return 100 * value if seen.what == ACCURACY.name else float("nan"), value_of(seen), good, seen.n


def _first(one: Listed) -> tuple[str, str, str, str, str]:
    """Return a run's id, name, title (marked where its figures cannot be vouched for), model and kind."""
    run = one.run
    return run.id, one.label.name, short_title(run) + (f" ({EARLIER})" if one.earlier else ""), model_name(run), run.kind


def _counts(run: Run, dense: Run | None) -> tuple[float, float, float]:
    """Return kilobytes of the smallest form, parameters that are not zero, and sparsity in percent; NaN for what is not known."""
    told = comparable(run.info.get("sizes")) or {}
    sizes = [told[name] for name in FOUR if isinstance(told.get(name), (int, float))]
    found = (min(sizes, default=None), run.info.get("nonzero"), None if dense is None else sparsity_of(run, dense))
    size, params, sparsity = (float("nan") if value is None else float(value) for value in found)
    return round(size / 1000, 1), params, 100 * sparsity


def chosen(frame: pd.DataFrame, now: Settings) -> pd.DataFrame:
    """Return the rows that pass the filters, in the order asked for; picked runs always pass."""
    text = (frame[["id", "name", "run", "model", "kind", "note"]].agg(" ".join, axis=1) + " " + frame["tags"].map(" ".join)).str.lower()
    keep = pd.Series(True, index=frame.index)
    for word in now.find.lower().split():
        keep &= text.str.contains(word, regex=False)
    if now.kind:
        keep &= frame["kind"] == now.kind
    if now.tagged:
        keep &= frame["tags"].map(lambda tags: now.tagged in tags)
    if not now.every:
        keep &= ~frame["passing"]
    if not now.others:
        keep &= frame["mine"]
    by, up = _BY[now.sort]
    shown = frame[keep | frame["id"].str[: picked_runs.DIGITS].isin(now.runs)]
    if by == "run":  # a name where somebody gave one
        return shown.loc[shown["run"].where(shown["name"] == "", shown["name"]).sort_values(kind="stable").index].reset_index(drop=True)
    return shown.sort_values(by, ascending=up, kind="stable", na_position="last").reset_index(drop=True)


def section(now: Settings, store: RunStore) -> None:
    """Show the table with its filters; folded away once runs are picked, until it is opened again."""
    whole = len(store.runs(limit=ALL))
    if not whole:
        show.empty("Nothing has been kept yet. Choose a setting on the Prune page and press **Save as run** there.", "bookmark_add")
        routes.link("prune", "Go to the Prune page")
        show.end_page()
    # it folds when the page is opened, not while somebody is still picking
    opened = session.mirror("runs_open", bool(st.session_state.get("runs_open", len(now.runs) < FEWEST)), "expanded")
    box = st.expander(f"All runs ({whole:,})", icon=":material/list:", on_change="rerun", **opened)
    if box.open:
        with box:
            _body(now, store)


def _body(now: Settings, store: RunStore) -> None:
    """Show the filters, the table, and what can be done with the ticked runs."""
    loaded = picked_runs.in_use(now)
    frame = frame_of(store, loaded)
    _filters(now, frame)
    shown = chosen(frame, now)
    if shown.empty:
        none = loaded is not None and not now.others and not frame["mine"].any()
        show.empty(
            f"No run of {show.plain(loaded.source.name)} is kept yet; those of other models show with the switch above."
            if none and loaded is not None
            else "No run passes these filters. Runs that arose on the way to something else show with the switch above.",
            "filter_alt_off",
        )
    else:
        _table(now, shown, several=frame["model"].nunique() > 1)
    hidden = frame[~frame["id"].isin(shown["id"])]
    foreign = 0 if now.others else int((~hidden["mine"]).sum())
    said = [f"{plural(foreign, 'run')} of other models"] if foreign else []
    rest = len(hidden) - foreign
    said += [f"{plural(rest, 'run')} that {'does' if rest == 1 else 'do'} not pass these filters"] if rest else []
    if said:
        st.caption(f"Not shown: {' and '.join(said)}.")
    run_labels.tools(now, store)


def _filters(now: Settings, frame: pd.DataFrame) -> None:
    """Show what narrows the table down."""
    kinds = ["", *(kind for kind in KINDS if (frame["kind"] == kind).any() or kind == now.kind)]
    tags = ["", *sorted({tag for tags in frame["tags"] for tag in tags} | ({now.tagged} - {""}))]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.text_input(
            "Find", placeholder="words in name, title, tags or notes", max_chars=60, width=230, **session.bind("find", take=_clean)
        )
        st.selectbox("Kind", kinds, format_func=lambda kind: kind or "all kinds", width=140, **session.bind("kind", start=kinds))
        if len(tags) > 1:
            st.selectbox("Tag", tags, format_func=lambda tag: tag or "all tags", width=150, **session.bind("tagged", start=tags))
        st.selectbox("Order", SORTS, format_func=ORDERS.__getitem__, width=210, **session.bind("sort", start=SORTS))
        if not frame["mine"].all() or now.others:
            st.toggle(
                "Other models, too", help="Runs of the model in use alone can stand beside each other with it.", **session.bind("others")
            )
        st.toggle(
            "Unsaved runs, too",
            **session.bind("every"),
            help="Points of curves and single measurements that nobody saved, tagged or noted are left out otherwise.",
        )


def _clean(text: str) -> str:
    """Return what was typed without what an address may not hold."""
    return "".join(c for c in text if c >= " " and c not in "<>`")[:60]


def _table(now: Settings, shown: pd.DataFrame, several: bool) -> None:
    """Show the runs; ticking a row picks it."""
    ids = [name[: picked_runs.DIGITS] for name in shown["id"]]
    # the table keeps its own selection: other rows, or picks that were made elsewhere, are another table
    turn = (session.times_read(), st.session_state.get("picks_turn", 0), hash(tuple(ids)))
    key = "all_runs_" + "_".join(map(str, turn))
    rows = [place for place, name in enumerate(ids) if name in now.runs]
    height: Literal["content"] | int = "content" if len(shown) <= 8 else 320
    free = _free(shown)
    hidden = free | ({"made"} if several else {"model"})
    room = WHOLE - sum(width for name, width in WIDTHS.items() if name not in hidden)
    st.dataframe(
        shown.assign(id=ids), column_config=_columns(several, shown["run"], room), hide_index=True, height=height, key=key,
        column_order=[name for name in ORDER if name not in free], placeholder="not measured",
        on_select=partial(_take_rows, key, tuple(ids)), selection_mode="multi-row", selection_default={"selection": {"rows": rows}},
        alt="All runs with quality, size, tags and notes; selected rows stand beside each other below",
    )  # fmt: skip


def _free(shown: pd.DataFrame) -> set[str]:
    """Return the columns that nobody wrote or measured anything for: others have their room."""
    said = {name for name in ("name", "tags", "note") if not shown[name].astype(bool).any()}
    other = (shown["accuracy"].isna() & (shown["quality"] != "")).any()  # figures of several metrics stand in words
    return said | ({"size"} if shown["size"].isna().all() else set()) | {"accuracy" if other else "quality"}


def _take_rows(key: str, ids: tuple[str, ...]) -> None:
    """Carry the ticked rows into the picks: those that stay keep their order, new ones follow."""
    ticked = [ids[int(row)] for row in st.session_state[key]["selection"]["rows"]]
    before = session.settings().runs
    stay = [name for name in before if name in ticked or name not in ids]
    new = [name for name in ticked if name not in before]
    put = picked_runs.take if len(stay) + len(new) > MOST_RUNS else picked_runs.change_runs
    put((*stay, *new))


def _columns(several: bool, titles: pd.Series, room: int) -> dict[str, Any]:
    """Return how the columns look, the titles with the room that the others leave; those that are None can be shown from the menu."""
    column = st.column_config
    made = None if several else column.DatetimeColumn("Made (UTC)", format="YYYY-MM-DD", width=WIDTHS["made"])
    best = "On most {0} that it was measured on; test {0} first."
    return {
        "name": column.TextColumn("Name", pinned=True, width=WIDTHS["name"]),
        "run": show.text_column("Run", titles, max(room, 200), pinned=True),
        "model": column.TextColumn("Model", width=WIDTHS["model"]) if several else None,
        "kind": column.TextColumn("Kind", width=WIDTHS["kind"]),
        "accuracy": column.NumberColumn("Accuracy", format="%.1f %%", width=WIDTHS["accuracy"], help=best.format("images")),
        "quality": column.TextColumn("Quality", width=WIDTHS["quality"], help=best.format("samples")),
        "good": None,
        "n": column.NumberColumn("n", format="localized", width=WIDTHS["n"]),
        "size": column.NumberColumn("Smallest, kB", format="localized", width=WIDTHS["size"], help="The smallest of its four files."),
        "params": show.hidden_count("Parameters that are not zero"),
        "sparsity": column.NumberColumn("Sparsity", format="%.1f %%", width=WIDTHS["sparsity"]),
        "tags": column.ListColumn("Tags", width=WIDTHS["tags"]),
        "note": column.TextColumn("Note", width=WIDTHS["note"]),
        "made": made,
        "id": None,
        "passing": None,
    }
