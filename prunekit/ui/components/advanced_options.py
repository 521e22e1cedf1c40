"""Choices that few need, folded away, and one line on those that are set: nothing hidden surprises."""

from __future__ import annotations

import streamlit as st

from prunekit.ui.components import field_controls
from prunekit.ui.state import session
from prunekit.ui.state.settings import OWN

PLACED = ("layers", "overrides", "targets", "shares", "caps", "units", "depth", "blocks")
"""What the Prune page shows in a place of its own."""
FOLDED = [name for name in (*OWN, "samples", "seed") if name not in PLACED and field_controls.ROWS[name].address]


def choices() -> None:
    """Show the folded choices that have an effect, and what is set there."""
    now = session.settings()
    fields = field_controls.folded(FOLDED, now)
    if not fields:
        return
    with st.expander("More choices", icon=":material/tune:"), st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for field in fields:
            field_controls.control(field, segmented=field == "target")
    said = field_controls.summary(fields, now)
    if said:
        st.caption(f":material/tune: Set under **More choices**: {said}.")
