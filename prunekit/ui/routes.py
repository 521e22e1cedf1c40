"""The pages: where their scripts lie, how they are called, how they are grouped."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

import prunekit

HOUSE = Path(prunekit.__file__).parent
# in an installed wheel the pages lie inside the package, in a checkout beside it
PAGES = next(path for path in (HOUSE / "dashboard" / "pages", HOUSE.parent / "pages") if (path / "start.py").is_file())

_ABOUT = {
    "start": ("Start", "home", "Choose a model and see what it can do before anything is pruned."),
    "layers": ("Layers", "layers", "Where the weights live, how they are distributed, what shrinks together."),
    "prune": ("Prune", "content_cut", "Choose what goes; see what stays and what it costs."),
    "accuracy": ("Accuracy vs sparsity", "show_chart", "How far a model can be pruned before its accuracy breaks."),
    "sensitivity": ("Sensitivity", "monitor_heart", "Which layers are fragile, each pruned alone, and targets from what was measured."),
    "recover": ("Recover", "healing", "What recalibration and fine-tuning bring back."),
    "latency": ("Latency", "timer", "Whether the pruned model is really faster on this machine."),
    "compare": ("Compare", "compare_arrows", "Two to six runs side by side: which one to take."),
    "export": ("Export", "archive", "One archive for each run, checked without prunekit; and taking one in."),
    "learn": ("Learn", "school", "Nine short lessons: guess, measure, see why; then which kind of pruning for which goal."),
}
SECTIONS = {
    "Explore": ("start", "layers", "prune"),
    "Measure": ("sensitivity", "accuracy", "recover", "latency"),
    "Decide": ("compare", "export"),
    "Learn": ("learn",),
}


def page(name: str) -> st.Page:
    """Return one page, for the navigation and for links to it.

    Parameters
    ----------
    name : str
        The name of its script under ``pages/``, which is also its address.
    """
    title, icon, about = _ABOUT[name]
    return st.Page(PAGES / f"{name}.py", title=title, icon=f":material/{icon}:", help=about, url_path=name, default=name == "start")


def navigation() -> st.Page:
    """Show the navigation and return the page that was asked for."""
    return st.navigation({section: [page(name) for name in names] for section, names in SECTIONS.items()})


def link(name: str, label: str) -> None:
    """Show a link to a page; the settings go along."""
    st.page_link(page(name), label=label, icon=f":material/{_ABOUT[name][1]}:")
