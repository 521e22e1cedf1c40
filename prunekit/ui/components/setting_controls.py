"""The controls of a setting: mode, criterion, scope, how much; the same on every page that prunes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import streamlit as st

from prunekit.config import fields as check
from prunekit.config.choices import NEEDS_DATA, drawn_criteria_of, scopes_of
from prunekit.config.field_table import UNITS
from prunekit.config.fields import table
from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.errors import PrunekitError
from prunekit.formatting import unbroken
from prunekit.ui.components import field_controls
from prunekit.ui.components.field_controls import control
from prunekit.ui.shared import cuts
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state import session
from prunekit.ui.state.compatible import MODES
from prunekit.ui.state.settings import OWN, Settings

PLACED = (
    "layers",
    "overrides",
    "targets",
    "shares",
    "caps",
    "units",
    "depth",
    "blocks",
    "remove_layers",
    "rows",
    "row_criterion",
    "row_shares",
)
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
        st.caption(f"Set under **More choices**: {unbroken(said)}.")


def kinds_of(source: Source) -> tuple[str, ...]:
    """Return the kinds of units that a model has; none where structured pruning cannot see it."""
    try:
        found = {group.kind for group in cuts.graph(source).groups}
    except PrunekitError:
        return ()
    return tuple(name for name in UNITS.titles if name in found)


def pills(now: Settings, loaded: Loaded) -> None:
    """Show what may go, where there is a choice."""
    there = kinds_of(loaded.source)
    if len(there) < 2:
        return

    def shown(units: Iterable[str] | None) -> list[str]:
        return [name for name in there if units is None or name in units]

    def taken(picked: list[str]) -> tuple[str, ...] | None:
        return None if not picked or set(picked) >= set(there) else tuple(name for name in there if name in picked)

    control("units", "What may go", options=there, format_func=UNITS.titles.__getitem__, show=shown, take=taken)


SCOPES = table(PruneSpec)["scope"].kind.titles
SHORT_SCOPES = {"global": "global", "uniform": "uniform", "erk": "ERK", "row": "each output", "isomorphic": "like groups"}
COUNTED = {"weights": "the weights", "channels": "the channels", "params": "all parameters", "macs": "all MACs", "bytes": "all bytes"}
PATTERNS = ("2:4", "1:4", "4:8", "2:8", "1:2")
PATTERN_HELP = (
    "Of every M consecutive inputs of an output, N weights stay. 2:4 is what the sparse units of NVIDIA's GPUs can use "
    "(Mishra et al. 2021, arXiv:2104.08378)."
)
MOST_BLOCK = 9999


def setting() -> None:
    """Show mode, criterion and scope, as far as they go together."""
    now = session.settings()
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        control("mode", segmented=True, then=session.change_mode)
        criterion(now.mode)
        scope(now.mode)


def criterion(mode: str) -> None:
    """Show the criteria that go with a mode; the help tells of the picked one first."""
    names, picked = list(drawn_criteria_of(mode)), session.settings().criterion
    about = "\n".join(map(_about, sorted(names, key=lambda name: name != picked)))
    st.selectbox("Criterion", names, format_func=criterion_name, width=215, help=about, **session.bind("criterion", start=names))


def scope(mode: str) -> None:
    """Show the scopes that go with a mode, where there is a choice."""
    names = list(scopes_of(mode))
    if len(names) > 1:
        control("scope", options=names, width=225)


def criterion_name(name: str) -> str:
    """Return a criterion's title, and whether it looks at images."""
    return CRITERIA[name].title + (" · looks at data" if name in NEEDS_DATA else "")


def _about(name: str) -> str:
    """Return what a criterion computes, where it comes from and when it is good."""
    found = CRITERIA[name]
    return f"- **{found.title}**: {_literal(found.formula)} ({found.source}). {found.advice}"


@lru_cache(64)
def _literal(formula: str) -> str:
    """Return a formula without Markdown's meanings of its signs."""
    return "".join("\\" + sign if sign in "\\`*_[]<>$#~|:" else sign for sign in formula)


def amount() -> None:
    """Show how much goes: the slider, or the pattern of N:M."""
    now = session.settings()
    if now.mode == "nm":
        pattern()
    else:
        slider(counted(now))


def counted(now: Settings) -> str:
    """Return what the share counts, in words."""
    if now.mode == "structured" and now.target == "channels" and now.units is not None:
        return f"the {' and '.join(now.units)}"
    return COUNTED[now.target if now.mode == "structured" else "weights"]


def slider(what: str) -> None:
    """Show the one slider that sets the total."""
    st.slider(
        f"Remove this share of {what}", min_value=0.0, max_value=99.5, step=0.5, format="%g %%",
        **session.bind("sparsity", show=lambda share: min(round(100 * share, 4), 99.5), take=lambda value: round(value / 100, 8)),
    )  # fmt: skip


def pattern() -> None:
    """Show the usual patterns, and N and M for any other."""
    n, m = check.pattern(session.settings().pattern)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.pills(
            "Pattern", PATTERNS, help=PATTERN_HELP,
            **session.bind("pattern", start="default", show=lambda now: now if now in PATTERNS else None),
        )  # fmt: skip
        st.number_input("Keep N", min_value=1, max_value=MOST_BLOCK, step=1, width=110, on_change=_take_n, **session.mirror("pattern_n", n))
        st.number_input(
            "of every M", min_value=2, max_value=MOST_BLOCK, step=1, width=110, on_change=_take_m, **session.mirror("pattern_m", m)
        )
        st.markdown(f":gray[{n} of every {m} consecutive weights stay: {100 * (1 - n / m):.4g} % go from every layer that divides.]")


def _take_n() -> None:
    """Keep so many; a block that is too small grows."""
    n, m = int(st.session_state["pattern_n"]), check.pattern(session.settings().pattern)[1]
    n = min(n, MOST_BLOCK - 1)
    session.change(pattern=f"{n}:{max(m, n + 1)}")


def _take_m() -> None:
    """Take blocks of so many; if fewer than those that stay, fewer stay."""
    n, m = check.pattern(session.settings().pattern)[0], int(st.session_state["pattern_m"])
    session.change(pattern=f"{min(n, m - 1)}:{m}")


def name_of(mode: str, criterion: str, scope: str) -> str:
    """Return a setting in a few words, as a curve is called."""
    return f"{MODES[mode]}, {CRITERIA[criterion].title}, {SHORT_SCOPES[scope]}"
