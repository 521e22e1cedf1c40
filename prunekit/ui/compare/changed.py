"""The tab Behaviour where there are no pictures of classes to show: the samples whose answer changed most, as a table."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from prunekit.comparison.changed_samples import changed_samples
from prunekit.comparison.comparison import Comparison
from prunekit.ui.components import show
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings


def samples(now: Settings, found: Comparison) -> None:
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
    show.section(f"Which {found.units} change most from dense to {letters[place]}?")
    if len(letters) > 1:
        st.segmented_control(
            "Compare with dense", range(len(letters)), required=True, format_func=letters.__getitem__,
            **session.bind("behind", start="default", show=lambda _: place),
        )  # fmt: skip
    run = known[place].accuracy
    assert run is not None
    frame = changed_samples(dense, run)
    if frame.empty:
        st.caption(f"Every one of {dense.n:,} {found.units} is answered as before.")
        return
    forms = {name: st.column_config.NumberColumn(name, format="%.4g") for name in frame.columns if name != "sample"}
    forms["change"] = st.column_config.NumberColumn("change", format="%.2f", help="In standard deviations of the dense model's answers.")
    st.dataframe(
        frame, hide_index=True, column_config={"sample": "no.", **forms}, height=420 if len(frame) > 11 else "content",
        alt="Samples whose answer changed most",
    )  # fmt: skip
    st.caption(caption(frame, letters[place], dense.n, found.units))


def caption(frame: pd.DataFrame, letter: str, n: int, units: str) -> str:
    """Say how much the first of them changed, and how many are shown.

    Parameters
    ----------
    frame : DataFrame
        Of `changed_samples`.
    letter : str
        Of the run.
    n : int
        How many samples there are.
    units : str
        What they are called.
    """
    first = frame.iloc[0]
    return (
        f"No. {int(first['sample'])} changes most from dense to {letter}: by {first['change']:.2f} standard deviations of the dense "
        f"model's answers. Shown: the {len(frame):,} that changed most, of {n:,} {units}."
    )
