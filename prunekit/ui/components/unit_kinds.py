"""Which kinds of units may go: channels, whole heads of attention, dimensions of every head."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from prunekit.config.choices import UNITS
from prunekit.errors import PrunekitError
from prunekit.ui.shared import cuts
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

TITLES = {"channels": "Channels", "heads": "Heads", "head dimensions": "Dimensions of heads"}
HELP = (
    "- **Channels** of convolutions and linear layers.\n"
    "- **Heads** of attention go whole: the queries, keys and values of one.\n"
    "- **Dimensions of heads**: every head loses as many, so that all stay equally wide."
)


def kinds_of(source: Source) -> tuple[str, ...]:
    """Return the kinds of units that a model has; none where structured pruning cannot see it."""
    try:
        found = {group.kind for group in cuts.graph(source).groups}
    except PrunekitError:
        return ()
    return tuple(name for name in UNITS if name in found)


def pills(now: Settings, loaded: Loaded) -> None:
    """Show what may go, where there is a choice."""
    there = kinds_of(loaded.source)
    if len(there) < 2:
        return

    def shown(units: Iterable[str] | None) -> list[str]:
        return [name for name in there if units is None or name in units]

    def taken(picked: list[str]) -> tuple[str, ...] | None:
        return None if not picked or set(picked) >= set(there) else tuple(name for name in there if name in picked)

    st.pills(
        "What may go", there, format_func=TITLES.__getitem__, selection_mode="multi", help=HELP,
        **session.bind("units", start="default", show=shown, take=taken),
    )  # fmt: skip
