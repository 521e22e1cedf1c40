"""Settings to learn from, good and bad, each measured on request with the reason why it behaves as it does."""

from __future__ import annotations

import streamlit as st

from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.formatting import percent
from prunekit.lessons.presets import PRESETS, Measured, Preset, measure
from prunekit.ui.components import show
from prunekit.ui.learn import lesson
from prunekit.ui.shared import measuring
from prunekit.ui.state.settings import Settings


def draw(now: Settings) -> None:
    """Show a card for each preset."""
    show.section(
        "Which settings are good, which are bad, and why?",
        "Six settings for the digits network. Each is carried out, measured on test images, and compared with one other setting.",
    )
    open_ = [preset for preset in PRESETS if not _known(preset)]
    st.button(
        "Measure all", key="measure_presets", type="primary", icon=":material/play_arrow:", disabled=not open_, on_click=_all, args=(open_,)
    )
    for start in range(0, len(PRESETS), 2):  # row by row, so that neighbours stand side by side
        for place, preset in zip(st.columns(2, gap="medium"), PRESETS[start : start + 2], strict=False):
            with place, st.container(border=True, height="stretch"):
                _card(preset)


def key_of(preset: Preset) -> str:
    """Return what the job of a preset is called."""
    return measuring.key_of("preset", preset.key)


def _known(preset: Preset) -> bool:
    """Return whether a preset is measured or about to be."""
    job = board().get(key_of(preset))
    return job is not None and (job.active or job.state == "done")


def _all(presets: list[Preset]) -> None:
    """Measure several; a callback."""
    for preset in presets:
        _ask(preset)


def _ask(preset: Preset) -> None:
    """Measure one; a callback."""

    def work(job: Job) -> Measured:
        return measure(preset, progress=job.progress)

    measuring.start(key_of(preset), preset.title, work)


def _card(preset: Preset) -> None:
    """Show one preset: what it is, what came out and why, and where to try it."""
    meant = ":green-badge[follow it]" if preset.good else ":orange-badge[a trap]"
    st.markdown(f"**{show.plain(preset.title)}** {meant}  \n{show.plain(preset.does)}  \n:gray[Compared with: {show.plain(preset.versus)}]")
    found: Measured | None = measuring.finished(key_of(preset))
    if found is None:
        measuring.panel(key_of(preset))
        if measuring.finished(key_of(preset)) is not None:
            st.rerun()  # it ended while the card was being drawn
        if not _known(preset):
            st.button("Measure", key=f"measure_{preset.key}", icon=":material/play_arrow:", on_click=_ask, args=(preset,))
    else:
        _result(preset, found)
    lesson.open_button(preset.page, preset.settings, f"open_{preset.key}")


def _result(preset: Preset, found: Measured) -> None:
    """Show three accuracies and the reason."""
    for place, (label, accuracy) in zip(
        st.columns(3), (("original", found.dense), ("this setting", found.found), ("the other", found.other)), strict=True
    ):
        place.metric(label, percent(accuracy.value), help=show.interval(accuracy.low, accuracy.high, accuracy.n))
    if not preset.as_meant(found):
        st.caption("On this machine, this time, the measurement does not bear out what the setting is an example of.")
    st.markdown(show.plain(preset.reason(found)))
