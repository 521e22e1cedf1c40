"""The top of a comparison: which runs, the answer, three big numbers, and what people take away."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from urllib.parse import urlencode

import streamlit as st

from prunekit.comparison.columns import Column
from prunekit.comparison.comparison import Comparison
from prunekit.experiments.records import Run
from prunekit.experiments.store import RunStore
from prunekit.plots.compare_layers import letter_colour
from prunekit.reports.material import shapes
from prunekit.reports.page import as_csv, as_json, big_three, report
from prunekit.reports.table import model_name, short_title
from prunekit.ui.compare import picked_runs
from prunekit.ui.components import show
from prunekit.ui.state.address import encode
from prunekit.ui.state.settings import Settings


@dataclass(frozen=True, eq=False)
class Order:
    """What to put into a report; it is made in another thread when its button is pressed."""

    found: Comparison
    store: RunStore
    now: Settings  # how it is looked at
    address: str  # where the same view shows

    def __call__(self) -> bytes:
        """Return the report."""
        seen = shapes(self.found, self.store)
        view = picked_runs.view_of(self.now, self.found, picked_runs.layers_of(seen))
        return report(self.found, self.store, view, found=seen, address=self.address).encode()


def name_of(found: Comparison) -> str:
    """Return what files of a comparison are called."""
    model = str(found.baseline.run.model.get("name", "model")).rpartition("/")[2].replace(":", "-")
    return f"{model}-compared"


def section(now: Settings, found: Comparison, store: RunStore) -> None:
    """Show the buttons."""
    name, order = name_of(found), Order(found, store, now, "compare?" + urlencode(encode(now)))
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.download_button(
            "Report (HTML)", order, f"{name}.html", "text/html", key="report", icon=":material/article:", on_click="ignore",
            help="One file with the answer, the numbers, every chart with its caption and the settings; it opens without a network.",
        )  # fmt: skip
        st.download_button("Numbers (CSV)", as_csv(found), f"{name}.csv", "text/csv", key="csv", icon=":material/table:", on_click="ignore")
        st.download_button(
            "All of it (JSON)", as_json(found), f"{name}.json", "application/json", key="json", icon=":material/data_object:",
            on_click="ignore",
        )  # fmt: skip
        st.segmented_control(
            "Save pictures as", ["PNG", "SVG"], default="PNG", key="picture_form", help="The camera at a picture saves it."
        )


def strip(runs: list[Run], found: Comparison | None, store: RunStore) -> None:
    """Show the picked runs in their colours, each with its model, its name and a button that lets it go."""
    if not runs:
        return
    letters = {} if found is None else {column.run.id: column.letter for column in found.all}
    for place, (box, run) in enumerate(zip(st.columns(len(runs), gap="small"), runs, strict=True)):
        letter = letters.get(run.id, "ABCDEF"[place])
        with box.container(border=True, height="stretch", gap=None), st.container(horizontal=True, wrap=False, gap="xsmall"):
            st.html(_chip(letter, run, store.label(run.id).name, show.dark()), width="stretch")
            st.button(
                "", key=f"let_go_{run.id}", icon=":material/close:", type="tertiary", on_click=picked_runs.toggle, args=(run.id,),
                help=f"Take {letter} out",
            )  # fmt: skip


def _chip(letter: str, run: Run, name: str, dark: bool) -> str:
    """Return a run's letter in its colour, the name that somebody gave it, its model, and what was done to that."""
    colour, what = letter_colour(letter, dark), short_title(run)
    lines = [f"<b>{escape(name)}</b>"] if name else []
    lines += [f'<span style="opacity:.75">{escape(model_name(run))}</span>', *([] if what == model_name(run) else [escape(what)])]
    return (
        f'<b style="font-size:1.15rem"><span style="color:{colour}" aria-hidden="true">●</span> {escape(letter)}</b> '
        f'<span style="font-size:.92rem;overflow-wrap:anywhere">{"<br>".join(lines)}</span>'
    )


def answer(found: Comparison) -> None:
    """Show the answer first, then three big numbers of the run that it names, then why not to trust it blindly."""
    column = found.column(found.best) if found.best else None
    colour = letter_colour(column.letter, show.dark()) if column else letter_colour("Dense", show.dark())
    if found.answer:
        st.html(f'<p style="font-size:1.3rem;line-height:1.4;border-left:5px solid {colour};padding:.2rem 0 .2rem .9rem;margin:.2rem 0">'
                f"{escape(found.answer)}</p>")  # fmt: skip
    if column is not None:
        _tiles(column, found)
    if found.caution:
        st.warning(show.plain(found.caution) + ".", icon=":material/balance:")
    show.doubts(found.doubts)


def _tiles(column: Column, found: Comparison) -> None:
    """Show what was kept, how small it is and how fast; a dash until it was measured."""
    for box, (label, value, below) in zip(st.columns(3), big_three(column, found.baseline), strict=True):
        with box:
            show.tile(f"{label} by {column.letter}", value, "measured" if value != "–" else "", below)
