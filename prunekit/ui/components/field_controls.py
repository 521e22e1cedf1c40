"""The widget of a field: what its row of the table says, tied to the setting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import streamlit as st

from prunekit.config.fields import Setting, table
from prunekit.config.kinds import Number, OneOf, Share, Text, Whole, YesNo
from prunekit.config.several_kinds import Names, Numbers, Several, Shares, Titles
from prunekit.ui.state import session
from prunekit.ui.state.settings import PLAIN, Settings

ROWS = table(Settings)
NUMBERS = {Whole: "%d", Number: "%.4g", Share: "%g"}


def about(row: Setting) -> str:
    """Return the help of a field: what each value means where that is said of them, otherwise what the field does."""
    kind: Any = row.kind.one if isinstance(row.kind, Several) else row.kind
    told = kind.about if isinstance(kind, OneOf) else {}
    return "\n".join(f"- **{kind.titles[value]}**: {words}." for value, words in told.items()) or _sentence(row.help)


def _sentence(words: str) -> str:
    """Return words as a sentence."""
    return f"{words[:1].upper()}{words[1:]}."


def control(
    field: str, label: str = "", *, options: Sequence[Any] = (), show: Callable[[Any], Any] | None = None,
    take: Callable[[Any], Any] | None = None, then: Callable[[Any], None] | None = None, segmented: bool = False, slider: bool = False,
    **how: Any,
) -> None:  # fmt: skip
    """Show the widget of a field, with a ``label`` where it says more than the field's own; ``how`` is for the widget itself.

    ``options`` are offered instead of all that a choice takes; ``show``, ``take`` and ``then`` are those of `session.bind`.
    """
    row = ROWS[field]
    bound: dict[str, Any] = {"then": then, "show": show or session.same, "take": take or session.same}
    label = label or row.label + (", %" if isinstance(row.kind, Share) and not slider else "")
    how = {"help": about(row), **how}
    match row.kind:
        case YesNo():
            st.checkbox(label, **how, **session.bind(field, **bound))
        case OneOf(titles=titles):
            offered = list(options or titles)
            how = {"format_func": titles.__getitem__, **how}
            if segmented:
                st.segmented_control(label, offered, **how, **session.bind(field, start="default", **bound), required=True)  # type: ignore[call-overload]
            else:
                widest = max(len(label), *(len(titles[value]) for value in offered))
                st.selectbox(label, offered, **{"width": 9 * widest + 50, **how}, **session.bind(field, start=offered, **bound))
        case Several():
            bound |= {"show": show or list, "take": take or tuple}
            st.pills(label, list(options), selection_mode="multi", **how, **session.bind(field, start="default", **bound))
        case Text() | Names() | Titles() | Numbers() | Shares():
            bound |= {"show": lambda value: "" if value in (None, ()) else row.kind.text(value), "then": partial(_typed, row)}
            st.text_input(label, **{"width": 230, **how}, **session.bind(field, **bound))
        case _:
            _number(row, label, slider, bound, how)


def _typed(row: Setting, text: str) -> None:
    """Take what was typed, values with commas between them; a callback."""
    parts: list[Any] = [part.strip() for part in text.split(",") if part.strip()]
    try:
        listed = isinstance(row.kind, (Names, Titles, Shares))
        if isinstance(row.kind, Shares):
            pairs = [part.rstrip(" %").replace("=", " ").rpartition(" ") for part in parts]
            parts = [(name.strip(), float(share) / 100) for name, _, share in pairs]
        value = [float(part) for part in parts] if isinstance(row.kind, Numbers) else parts if listed else text.strip()
        session.change(**{row.name: row.kind(row.name, value) if parts else row.default})
    except ValueError:
        session.complain(f"“{row.label}” must be {row.kind.allowed}.")


def _number(row: Setting, label: str, slider: bool, bound: dict[str, Any], how: dict[str, Any]) -> None:
    """Show the widget of a number; a share stands there in percent."""
    low, high = (0.0, 100.0) if isinstance(row.kind, Share) else row.kind.screen
    if isinstance(row.kind, Share):
        bound |= {"show": lambda share: round(100 * share, 4), "take": lambda value: round(value / 100, 8)}
    limits = {"min_value": low, "max_value": high, "step": row.kind.step, "format": "%g %%" if slider else NUMBERS[type(row.kind)]}
    if not isinstance(row.kind, Whole):
        shown = bound.get("show", session.same)  # a setting may hold it as a whole number, and the widget takes one type alone
        bound |= {"show": lambda value: float(shown(value))}
        limits = {name: float(value) if name != "format" else value for name, value in limits.items()}  # type: ignore[arg-type]
    widget = st.slider if slider else st.number_input
    widget(label, **{"width": max(120, 8 * len(label) + 20), **limits, **how}, **session.bind(row.name, **bound))  # type: ignore[call-overload]


def folded(fields: Iterable[str], now: Settings) -> list[str]:
    """Return those of some fields that have an effect."""
    return [name for name in fields if ROWS[name].applies(now)]


def summary(fields: Iterable[str], now: Settings) -> str:
    """Return in a few words what differs from the defaults."""
    changed = ((ROWS[name], getattr(now, name)) for name in fields if getattr(now, name) != getattr(PLAIN, name))
    return "; ".join(f"{row.noun} {row.kind.titles[value] if isinstance(row.kind, OneOf) else row.text(value)}" for row, value in changed)
