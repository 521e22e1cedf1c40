"""The pages: where their scripts lie, and the navigation, made of what each says of itself."""

from __future__ import annotations

import importlib
from pathlib import Path

import streamlit as st

import prunekit
from prunekit.ui.page import Page

HOUSE = Path(prunekit.__file__).parent
# in an installed wheel the pages lie inside the package, in a checkout beside it
PAGES = next(path for path in (HOUSE / "dashboard" / "pages", HOUSE.parent / "pages") if (path / "start.py").is_file())


def _declared() -> dict[str, Page]:
    """Return what the package that each script is named for says of it, in the order of the navigation."""
    found = {path.stem: importlib.import_module(f"prunekit.ui.{path.stem}").PAGE for path in sorted(PAGES.glob("*.py"))}
    return dict(sorted(found.items(), key=lambda item: item[1].order))


ABOUT: dict[str, Page] = _declared()
FIRST = next(iter(ABOUT))


def page(name: str) -> st.Page:
    """Return one page, for the navigation and for links to it."""
    about, script = ABOUT[name], PAGES / f"{name}.py"
    return st.Page(script, title=about.title, icon=f":material/{about.icon}:", help=about.about, url_path=name, default=name == FIRST)


def navigation() -> st.Page:
    """Show the navigation and return the page that was asked for."""
    sections: dict[str, list[st.Page]] = {}
    for name, about in ABOUT.items():
        sections.setdefault(about.section, []).append(page(name))
    return st.navigation(sections)


def link(name: str, label: str) -> None:
    """Show a link to a page; the settings go along."""
    st.page_link(page(name), label=label, icon=f":material/{ABOUT[name].icon}:")
