"""What people take away from a comparison: a report that opens offline, its numbers as CSV and JSON, its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

import streamlit as st

from prunekit.comparison.comparison import Comparison
from prunekit.experiments.store import RunStore
from prunekit.reports.material import shapes
from prunekit.reports.page import as_csv, as_json
from prunekit.reports.whole_report import report
from prunekit.ui.compare import picked_runs
from prunekit.ui.state.address import encode
from prunekit.ui.state.settings import Settings


@dataclass(frozen=True, eq=False)
class Order:
    """What to put into a report; it is made in another thread when its button is pressed.

    Attributes
    ----------
    found : Comparison
        What was compared.
    store : RunStore
        Where the runs are.
    now : Settings
        How it is looked at.
    address : str
        Where the same view shows.
    """

    found: Comparison
    store: RunStore
    now: Settings
    address: str

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
