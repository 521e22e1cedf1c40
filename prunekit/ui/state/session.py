"""The settings of one browser tab: held in the session, mirrored in the address, changed only through callbacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from prunekit.config.choices import default_scope, scopes_of
from prunekit.config.fields import table
from prunekit.formatting import percent
from prunekit.ui.classroom.limits import hold
from prunekit.ui.state.address import decode, encode
from prunekit.ui.state.compatible import MODES, fit
from prunekit.ui.state.settings import OWN, PLAIN, Settings

_SETTINGS, _PROBLEMS, _SHELVED = "settings", "address_problems", "edits_by_mode"
_READ = "times_address_read"
_OF_MODE = (*OWN, "pattern")


def settings() -> Settings:
    """Return what this person has picked."""
    return cast(Settings, st.session_state[_SETTINGS])


def problems() -> list[str]:
    """Return what could not be read from the address, in plain sentences."""
    return cast("list[str]", st.session_state.get(_PROBLEMS, []))


def complain(sentence: str) -> None:
    """Add a sentence to :func:`problems`, for what shows only once the model is known."""
    known = problems()
    if sentence not in known:
        st.session_state[_PROBLEMS] = [*known, sentence]


def sync() -> None:
    """Read the address where it is the truth (a new tab, back and forward), otherwise write it."""
    context = get_script_run_ctx()
    if _SETTINGS not in st.session_state or (context is not None and context.is_history_navigation):
        st.session_state[_READ] = times_read() + 1
        read, wrong = decode(st.query_params.to_dict())
        st.session_state[_SETTINGS], held = hold(read)
        st.session_state[_PROBLEMS] = wrong + held
    write()


def times_read() -> int:
    """Return how often the address was read in this tab: once, and again for every step back or forward."""
    return int(st.session_state.get(_READ, 0))


def write() -> None:
    """Write the settings into the address, if they differ from it."""
    wanted = encode(settings())
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def put(new: Settings) -> None:
    """Take new settings, as far as they go together; only to be called from callbacks."""
    fitting, changed = fit(new)
    st.session_state[_SETTINGS], held = hold(fitting)
    st.session_state[_PROBLEMS] = changed + held
    write()


def change(**values: Any) -> None:
    """Change single settings; only to be called from callbacks."""
    put(settings().change(**values))


def change_mode(mode: str) -> None:
    """Change the mode: what fits stays, what does not falls back, and each mode remembers its own choices while the tab is open."""
    now = settings()
    shelf = cast("dict[Any, Any]", st.session_state.setdefault(_SHELVED, {}))
    shelf[now.model, now.upload, now.mode] = now
    before = shelf.get((now.model, now.upload, mode), PLAIN)
    # a scope that the mode forced is nobody's choice
    scope = now.scope if len(scopes_of(now.mode)) > 1 else before.scope
    if scope not in scopes_of(mode):
        scope = default_scope(mode)
    # a total that shares of single layers made up goes with them: it is nobody's choice for other units
    led, led_there = (bool(each.targets or each.overrides) for each in (now, before))
    sparsity = before.sparsity if led or led_there else now.sparsity
    put(now.change(mode=mode, scope=scope, sparsity=sparsity, **{name: getattr(before, name) for name in _OF_MODE}))
    if led and sparsity != now.sparsity and mode != "nm":
        complain(
            f"Shares of single layers stay with {MODES[now.mode]}, and so does their total of {percent(now.sparsity)}: {MODES[mode]} is at "
            f"{percent(sparsity)}."
        )


def same(value: Any) -> Any:
    """Return the value itself."""
    return value


def bind(
    field: str, *, start: str | Sequence[Any] = "value", show: Callable[[Any], Any] = same, take: Callable[[Any], Any] = same,
    then: Callable[[Any], None] | None = None, place: str = "",
) -> dict[str, Any]:  # fmt: skip
    """Return the arguments that tie a widget to a setting: ``st.slider("Seed", **bind("seed"))``.

    The settings are the truth and the widget mirrors them, see :func:`mirror`. A second widget of a setting on a page has a ``place``.

    ``key``, ``on_change``, ``args`` and what it starts with.
    """
    key = f"pick_{table(Settings)[field].address}{place}"
    offered = None if isinstance(start, str) else tuple(start)
    return {**mirror(key, show(getattr(settings(), field)), start), "on_change": _take, "args": (field, key, take, then, offered)}


def mirror(key: str, value: Any, start: str | Sequence[Any] = "value") -> dict[str, Any]:
    """Return the arguments that give a widget a key and a value.

    The value is what the widget starts with. Its state is assigned only where it has another one: assigning it on every run would
    pull a slider back while a hand still moves it, and a browser that has not built the widget when the next run comes (a slow
    line, a busy machine) never sees what was assigned, would start it at nought and report that as somebody's choice.

    ``key``, and what it starts with.
    """
    if st.session_state.get(key, value) != value:
        st.session_state[key] = value
        return {"key": key}  # the two at once are one too many: Streamlit would warn
    if isinstance(start, str):
        return {"key": key, start: value}
    return {"key": key, "index": None if value is None else list(start).index(value)}


def _take(field: str, key: str, take: Callable[[Any], Any], then: Callable[[Any], None] | None, offered: tuple[Any, ...] | None) -> None:
    """Carry a widget's new value into the settings.

    A browser names a choice by its label. Where labels have changed since, it comes back as a label that nothing offers: nobody chose.
    """
    value = st.session_state.get(key)
    if value is None or (offered is not None and value not in offered):
        return
    if then is not None:
        then(take(value))
    else:
        change(**{field: take(value)})
