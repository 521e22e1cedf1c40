"""The controls of a setting: mode, criterion, scope, one slider; the same on every page that prunes."""

from __future__ import annotations

import streamlit as st

from prunekit.criteria import CRITERIA
from prunekit.ui import state

MODES = {"unstructured": "Unstructured", "structured": "Structured"}
MODE_HELP = "Unstructured: single weights become zero, every layer keeps its size. Structured: whole channels leave, layers become smaller."
SCOPES = {"global": "All layers together", "uniform": "The same share of each layer"}
SCOPE_HELP = "Together: what is weakest anywhere goes first, so layers lose different shares. The same share: every layer gives equally."
CRITERIA_NAMES = {name: criterion.title for name, criterion in CRITERIA.items()}


def setting() -> None:
    """Show mode, criterion, scope and, for random choice, the seed."""
    now = state.settings()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.segmented_control(
            "Mode", list(MODES), format_func=MODES.__getitem__, required=True, help=MODE_HELP, **state.bind("mode", then=state.change_mode)
        )
        st.selectbox("Criterion", list(CRITERIA), format_func=_criterion, width=180, help=_formulas(), **state.bind("criterion"))
        st.selectbox("Scope", list(SCOPES), format_func=SCOPES.__getitem__, width=225, help=SCOPE_HELP, **state.bind("scope"))
        if now.criterion == "random":
            st.number_input("Seed", min_value=0, max_value=2**31, step=1, width=110, **state.bind("seed"))


def _criterion(name: str) -> str:
    """Return a criterion's title."""
    return CRITERIA_NAMES[name]


def _formulas() -> str:
    """Return what each criterion computes."""
    return "\n".join(f"- **{c.title}**: {c.formula} ({c.source})" for c in CRITERIA.values())


def slider(what: str) -> None:
    """Show the one slider that sets the total.

    Parameters
    ----------
    what : str
        ``weights`` or ``channels``.
    """
    st.slider(
        f"Remove this share of the {what}", min_value=0.0, max_value=99.5, step=0.5, format="%g %%",
        **state.bind("sparsity", show=lambda share: round(100 * share, 4), take=lambda value: min(round(value / 100, 8), 0.995)),
    )  # fmt: skip


def name_of(mode: str, criterion: str, scope: str) -> str:
    """Return a setting in a few words, as a curve is called."""
    return f"{MODES[mode]}, {CRITERIA_NAMES[criterion]}, {'global' if scope == 'global' else 'uniform'}"
