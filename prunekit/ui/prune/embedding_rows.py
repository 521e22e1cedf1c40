"""Rows of embedding tables on the Prune page: how many go, and the curve of how often each is looked up."""

from __future__ import annotations

import streamlit as st

from prunekit.errors import PrunekitError
from prunekit.plots.filters import row_curves, rows_caption
from prunekit.pruning.structured.embedding_rows import embedding_tables
from prunekit.pruning.structured.plan import Plan
from prunekit.ui.components import show
from prunekit.ui.components.field_controls import ROWS, control
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state.settings import Settings

FIELDS = ("rows", "row_criterion", "row_shares")


@shared(32)
def open_tables(source: Source) -> tuple[str, ...]:
    """Return the embedding tables whose rows may go; none where structured pruning cannot see the model."""
    try:
        found = embedding_tables(model_cache.load(source).model, cuts.graph(source))
    except PrunekitError:
        return ()
    return tuple(table.name for table in found if not table.stays)


def controls(now: Settings, loaded: Loaded) -> None:
    """Show what sets the rows that go, where the model has tables that can lose some, or somebody asked for it."""
    if now.rows or now.row_shares or open_tables(loaded.source):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            for field in FIELDS:
                if ROWS[field].applies(now):
                    control(field)


def section(view: View) -> None:
    """Draw how often the rows of tables that lose some are looked up, and which go."""
    if not isinstance(view.cut, Plan) or not view.cut.rows:
        return
    show.section("Which rows of tables go?")
    if view.spec.row_criterion == "norm":
        sizes = [f"**{name}** loses {int((~cut.keep).sum()):,} of {cut.keep.size:,} rows" for name, cut in view.cut.rows.items()]
        st.caption(f"{'; '.join(sizes)}. Rows go by their norm, which looks at no data: how often each is looked up was not counted.")
        return
    tables = {name: (cut.lookups, cut.keep) for name, cut in view.cut.rows.items()}
    show.chart(row_curves(tables, dark=show.dark()), "row_curves", rows_caption(tables))
