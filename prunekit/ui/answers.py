"""What the curves of "Accuracy vs sparsity" say: how far each setting can go, and every point in a table."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from prunekit.plots.text import percent, plural
from prunekit.ui import show, state
from prunekit.ui.settings import Settings
from prunekit.ui.store import Loaded


def read_off(now: Settings, frame: pd.DataFrame, stopped: list[str]) -> None:
    """Read off how far each setting can go for a given loss."""
    show.section("How far can it go?")
    st.number_input(
        "Lose at most so many points of accuracy", min_value=0.0, max_value=50.0, step=0.5, width=320,
        **state.bind("drop", show=lambda share: round(100 * share, 4), take=lambda points: round(points / 100, 6)),
    )  # fmt: skip
    rows = []
    for name, points in frame.groupby("setting", sort=False):
        dense = float(points.loc[points["requested"] == 0, "value"].iloc[0])
        fine = points[points["value"] >= dense - now.drop - 1e-9]
        best = fine.loc[fine["sparsity"].idxmax()]
        rows.append((name, best["sparsity"], best["value"], best["low"], best["high"], best["macs"]))
    table = pd.DataFrame(rows, columns=["setting", "sparsity", "value", "low", "high", "macs"])
    st.dataframe(_percent(table), column_config=_config(), hide_index=True, alt="Greatest sparsity within the allowed loss, by setting")
    best = table.loc[table["sparsity"].idxmax()]
    early = f" {' and '.join(stopped)} stopped early and may go further." if stopped else ""
    unlike = " Shares are of weights or of channels: compare the two by effective MACs." if _both_modes(frame) else ""
    st.caption(
        f"**{best['setting']}** goes furthest: {percent(best['sparsity'])} removed at {percent(best['value'])}. "
        "Read from measured points, not between "
        f"them, on one split of {plural(int(frame['n'].iloc[0]), 'image')}: confirm the choice on the test split.{unlike}{early}"
    )


def _both_modes(frame: pd.DataFrame) -> bool:
    """Return whether the curves remove weights here and channels there."""
    return len({str(name).partition(",")[0] for name in frame["setting"].unique()}) > 1


def _percent(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its fractions as percent, for showing."""
    shares = [name for name in ("requested", "sparsity", "value", "low", "high", "macs") if name in frame]
    return frame.assign(**{name: 100 * frame[name] for name in shares})


def _config() -> dict[str, Any]:
    """Return how the columns of the tables look."""
    column = st.column_config
    return {
        "setting": column.TextColumn("Setting"),
        "requested": column.NumberColumn("Requested", format="%.1f %%"),
        "sparsity": column.NumberColumn("Removed", format="%.1f %%"),
        "value": column.NumberColumn("Accuracy", format="%.1f %%"),
        "low": column.NumberColumn("95 % from", format="%.1f %%"),
        "high": column.NumberColumn("to", format="%.1f %%"),
        "n": column.NumberColumn("n"),
        "params": column.NumberColumn("Non-zero parameters", format="compact"),
        "macs": column.NumberColumn("Effective MACs, of dense", format="%.1f %%"),
    }


def table(loaded: Loaded, frame: pd.DataFrame, split: str) -> None:
    """Show every point, and hand them out."""
    with st.expander(f"All {plural(len(frame), 'point')}", icon=":material/table:"):
        st.dataframe(_percent(frame), column_config=_config(), hide_index=True, alt="Every measured point")
    name = loaded.source.name.rpartition("/")[2]
    st.download_button(
        "Download as CSV", data=frame.assign(split=split).to_csv(index=False), file_name=f"{name}-accuracy-vs-sparsity.csv",
        mime="text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip
