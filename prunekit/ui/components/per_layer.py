"""What is set layer by layer on the Prune page, in words, for the pages that prune in the same way."""

from __future__ import annotations

import streamlit as st

from prunekit.formatting import percent, plural
from prunekit.ui import routes
from prunekit.ui.components import show
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state.settings import Settings

MOST = 8


def is_set(now: Settings) -> bool:
    """Return whether single layers are ticked, or have shares or caps of their own."""
    return now.layers is not None or bool(now.overrides or now.shares or now.caps) or now.cap_all < 1


def words(now: Settings, names: tuple[str, ...]) -> list[str]:
    """Return what is set, a sentence each: own shares, caps, and which layers take part.

    Parameters
    ----------
    now : Settings
        The picks.
    names : tuple of str
        ``Loaded.every``.
    """
    said = []
    if now.overrides:
        said.append(f"Own shares of {plural(len(now.overrides), 'layer')}: {_shares(now.overrides, names)}")
    said += [f"{percent(share)} of {_row(list(places), names)} together" for places, share in now.shares]
    if now.caps:
        said.append(f"Caps: {_shares(now.caps, names)}")
    if now.cap_all < 1:
        said.append(f"No layer loses more than {percent(now.cap_all)}")
    if now.layers is not None:
        ticked = sorted({*now.layers, *(place for place, _ in now.overrides), *(place for places, _ in now.shares for place in places)})
        which = f"all {len(names)} layers" if len(ticked) == len(names) else f"{len(ticked)} of {plural(len(names), 'layer')}"
        said.append(f"Ticked: {which}" + ("" if len(ticked) == len(names) else f" ({_row(ticked, names)})"))
    return said


def _shares(shares: tuple[tuple[int, float], ...], names: tuple[str, ...]) -> str:
    """Return shares of single layers."""
    told = [f"{names[place]} {percent(share)}" for place, share in shares if place < len(names)]
    return ", ".join(told[:MOST]) + (f" and {len(told) - MOST} more" if len(told) > MOST else "")


def _row(places: list[int], names: tuple[str, ...]) -> str:
    """Return names of layers."""
    told = [names[place] for place in places if place < len(names)]
    return ", ".join(told[:MOST]) + (f" and {len(told) - MOST} more" if len(told) > MOST else "")


def shown(now: Settings, loaded: Loaded, *, link: bool = True) -> None:
    """Say on another page what is set layer by layer, with a ``link`` to where it is changed; nothing where nothing is."""
    if not is_set(now):
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("**Set layer by layer.** " + " ".join(f"{show.plain(each)}." for each in words(now, loaded.every)))
        if link:
            routes.link("prune", "Change them on the Prune page")
