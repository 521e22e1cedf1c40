"""Choices that few need, folded away, and one line on those that are set: nothing hidden surprises."""

from __future__ import annotations

import streamlit as st

from prunekit.config.choices import NEEDS_DATA, ROUNDS, SEEDED, TARGETS
from prunekit.formatting import percent
from prunekit.ui.state import session
from prunekit.ui.state.address import MOST_SAMPLES, MOST_SEED
from prunekit.ui.state.settings import PLAIN, Settings

TARGET_NAMES = {"channels": "Channels", "params": "Parameters", "macs": "MACs"}
TARGET_HELP = (
    "Channels of the ticked layers, or parameters or multiply-accumulates of the whole model. For a target in parameters or MACs the "
    "channels that lead there are searched for; whole channels hit it as nearly as they can."
)
ROUND_HELP = "What stays of every layer that shrinks is a multiple of this: odd numbers of channels are slow on most machines."
CAP_HELP = "No layer loses more than this share; 100 is no cap. Caps for single layers are in the table below."


def choices() -> None:
    """Show the folded choices that the setting has, and what is set there."""
    now = session.settings()
    fields = _fields(now)
    if not fields:
        return
    with st.expander("More choices", icon=":material/tune:"), st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        for field in fields:
            _WIDGETS[field]()
    said = summary(now)
    if said:
        st.caption(f":material/tune: Set under **More choices**: {said}.")


def _fields(now: Settings) -> list[str]:
    """Return the folded choices that a setting has."""
    looks = now.criterion in NEEDS_DATA
    there = {
        "target": now.mode == "structured",
        "round_to": now.mode == "structured",
        "cap_all": now.mode != "nm",
        "samples": looks,
        "seed": now.criterion in SEEDED,
    }
    return [name for name, shown in there.items() if shown]


def summary(now: Settings) -> str:
    """Return in a few words what differs from the defaults."""
    words = {
        "target": f"the share counts {TARGET_NAMES[now.target] if now.target == 'macs' else TARGET_NAMES[now.target].lower()}",
        "round_to": f"channels stay in multiples of {now.round_to}",
        "cap_all": f"no layer loses more than {percent(now.cap_all, 0 if round(100 * now.cap_all, 4) % 1 == 0 else 1)}",
        "samples": f"scored on {now.samples:,} images",
        "seed": f"seed {now.seed}",
    }
    return "; ".join(words[name] for name in _fields(now) if getattr(now, name) != getattr(PLAIN, name))


def _target() -> None:
    """Show what the share counts."""
    st.segmented_control(
        "The share counts", list(TARGETS), format_func=TARGET_NAMES.__getitem__, required=True, help=TARGET_HELP,
        **session.bind("target", start="default"),
    )  # fmt: skip


def _round_to() -> None:
    """Show the channel multiple."""
    st.selectbox(
        "Keep a multiple of", list(ROUNDS), format_func=lambda n: "any number" if n == 1 else f"{n} channels", width=170, help=ROUND_HELP,
        **session.bind("round_to", start=ROUNDS),
    )  # fmt: skip


def _cap_all() -> None:
    """Show the cap of all layers."""
    st.number_input(
        "At most, % of any layer", min_value=0.0, max_value=100.0, step=5.0, format="%g", width=190, help=CAP_HELP,
        **session.bind("cap_all", show=lambda share: round(100 * share, 4), take=lambda value: round(value / 100, 8)),
    )  # fmt: skip


def _samples() -> None:
    """Show how many images the criterion looks at."""
    st.number_input(
        "Images to score on", min_value=1, max_value=MOST_SAMPLES, step=128, width=170,
        help="Training images, a fixed stratified choice; all of them where there are no more.", **session.bind("samples"),
    )  # fmt: skip


def _seed() -> None:
    """Show the seed."""
    st.number_input(
        "Seed", min_value=0, max_value=MOST_SEED, step=1, width=140, help="Of a random choice, and of the order of the images.",
        **session.bind("seed"),
    )  # fmt: skip


_WIDGETS = {"target": _target, "round_to": _round_to, "cap_all": _cap_all, "samples": _samples, "seed": _seed}
