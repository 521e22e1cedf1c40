"""The results of the Latency page: the answer, every sample, ratios beside theory, memory, size and accuracy in one table."""

from __future__ import annotations

import math

import pandas as pd
import streamlit as st

from prunekit.config.spec import PruneSpec
from prunekit.experiments.latency_report import LatencyMeasurement
from prunekit.formatting import asked, by_times, listed, percent, plural, times, unbroken
from prunekit.latency.interleaved_timing import speed_words
from prunekit.latency.report import CandidateLatency, LatencyReport
from prunekit.plots import theme
from prunekit.plots.latency import ratios, samples
from prunekit.plots.theme import KEPT, run_colour
from prunekit.runtimes.backends import RUNTIMES
from prunekit.tasks.protocol import Group
from prunekit.tasks.wording import capital
from prunekit.ui.components import setting_controls, show
from prunekit.ui.latency import tables
from prunekit.ui.state.settings import Settings


def colour_of(name: str) -> str:
    """Return the colour of a candidate, the same on every page."""
    if name.startswith("run "):
        return run_colour(int(name.removeprefix("run ")), show.dark())
    return {"dense": theme.dense(show.dark()), "masked": run_colour(1, show.dark()), "smaller": KEPT}[name]


def results(now: Settings, found: LatencyMeasurement) -> None:
    """Show everything that was measured."""
    report = found.report
    group = _group(report)
    rows = report.rows(*group)
    timed = [row for row in rows if row.error is None]
    _failures([row for row in rows if row.error is not None])
    if not timed:
        return
    st.caption(when(found))
    _tiles(rows, timed)
    _answers(found, report, timed)
    left, right = st.columns([3, 2], gap="medium")
    labels = {row: label(row, report) for row in timed}
    colours = {labels[row]: colour_of(row.name) for row in timed}
    with left:
        show.section("Every sample, on one scale")
        frame = pd.DataFrame([(labels[row], ms) for row in timed for ms in row.samples_ms], columns=["candidate", "ms"])
        show.chart(samples(frame, colours=colours, dark=show.dark()), "samples", samples_caption(report, group, timed))
    with right:
        compared = [row for row in timed if row.ratio is not None][1:]
        if compared:
            show.section("Measured beside theory")
            show.chart(ratios(ratio_frame(compared, labels, timed[0]), colours=colours, dark=show.dark()), "ratios", ratios_caption(timed))
    tables.figures(report, rows)
    tables.grid(report)
    tables.sizes_on_disk(found, colour_of)


def when(found: LatencyMeasurement) -> str:
    """Say when it was measured, and on which machine."""
    cpu, cores = show.plain(str(found.machine.get("cpu") or "")), plural(int(found.machine["cores"]), "core")
    here = ", ".join(filter(None, (cpu, cores)))
    return (
        f"Measured {found.created[:16].replace('T', ' ')} UTC on this machine ({here}). Its load may be another one now: **Measure again**."
    )


def _group(report: LatencyReport) -> Group:
    """Return the batch, threads, length and phase that are shown; choose where there are several."""
    groups = report.groups
    if len(groups) < 2:
        return groups[0]
    place = st.pills(
        "Show",
        list(range(len(groups))),
        required=True,
        default=0,
        key="latency_group",
        format_func=lambda i: _shown(groups[i], groups) if i < len(groups) else "",
    )
    return groups[place] if isinstance(place, int) and place < len(groups) else groups[0]


def _shown(group: Group, groups: list[Group]) -> str:
    """Return what tells a group from the others."""
    several = {name: len({getattr(each, name) for each in groups}) > 1 for name in group._fields}
    words = [group.title] if several["length"] or several["phase"] else []
    words += [f"batch {group.batch}"] if several["batch"] or (not words and not several["threads"]) else []
    words += [plural(group.threads, "thread")] if several["threads"] else []
    return capital(", ".join(words))


def _failures(rows: list[CandidateLatency]) -> None:
    """Say which rows could not be measured, and why: a runtime that refuses several for one reason once."""
    if rows:
        why, several = dict[tuple[str, str], list[str]](), len({row.group.where for row in rows}) > 1
        for row in rows:
            why.setdefault((RUNTIMES[row.runtime].title, str(row.error)), []).append(
                f"{row.name} at {row.group.where}" if several else row.name
            )
        said = "\n".join(f"- **{title}** ({listed(of, 3, 'row')}): {show.plain(error)}" for (title, error), of in why.items())
        st.warning(f"Not measured:\n{said}", icon=":material/timer_off:")


def label(row: CandidateLatency, report: LatencyReport) -> str:
    """Return what a row is called in pictures: the runtime only where there are several."""
    several = len({other.runtime for other in report.candidates}) > 1
    return f"{row.name} · {RUNTIMES[row.runtime].title}" if several else row.name


def _tiles(rows: list[CandidateLatency], timed: list[CandidateLatency]) -> None:
    """Show three big numbers: the baseline, the smaller model beside it, the fastest of all."""
    base = rows[0]
    chosen = [row for row in timed if (row.name, row.runtime) == (base.name, base.runtime)]
    chosen += [row for row in timed if (row.name, row.runtime) == ("smaller", base.runtime)]
    fastest = min(timed, key=lambda row: row.median_ms or 0.0)
    if fastest not in chosen:
        chosen.append(fastest)
    for column, row in zip(st.columns(len(chosen)), chosen, strict=True):
        with column:
            first = "Fastest: " if row is fastest and row is not base else ""
            quartiles = f"{tables.ms(row.q1_ms)} to {tables.ms(row.q3_ms)} ms"
            figures = (f"{row.throughput or 0:,.0f} {row.units}/s", f"{tables.ms(row.median_ms)} ms")
            number, other = figures if row.length else figures[::-1]
            note = f"{other}; quartiles {quartiles}, for {row.group.where}."
            title = f"{first}{row.title}" if first else row.title[:1].upper() + row.title[1:]
            show.tile(title, number, "measured", _beside(row, base), note)


def _beside(row: CandidateLatency, base: CandidateLatency) -> str:
    """Return how fast a row is beside the baseline, and beside the baseline's model in the same runtime where that is another."""
    if row is base:
        return "the baseline"
    if row.ratio is None:
        return "no baseline to compare with"
    if row.runtime == base.runtime:
        return f"{tables.speed(row.ratio)} as fast"
    told = f"{times(row.ratio.speed[0])} as fast"
    here = row.within is not None and row.name != base.name
    return f"{told}, {times(row.within.speed[0])} in {RUNTIMES[row.runtime].title}" if here and row.within else told


def answer(row: CandidateLatency, what: str, baseline: str) -> str:
    """Say in one sentence whether a candidate is faster."""
    assert row.ratio is not None
    promise = f"; its MACs of non-zero weights would promise {times(1 / row.macs_ratio)}" if row.macs_ratio else ""
    return f"**{what}**: {row.name} {speed_words(row.ratio, baseline)}{promise}."


def _did(spec: PruneSpec, went: float | None) -> str:
    """Say what was done to a model, and what was asked where that is not the same."""
    if spec.mode == "nm":
        return f"Zeroing weights by {spec.pattern}"
    wanted = spec.sparsity or 0.0
    share = percent(wanted if went is None else went)
    share += f" (asked {asked(wanted)})" if share != percent(wanted) else ""
    done = f"Zeroing {share} of the weights"
    if spec.mode == "structured":
        parts = [] if spec.cuts_rows and not wanted else [f"{share} of {setting_controls.COUNTED[spec.target or 'channels']}"]
        parts += [f"{percent(spec.rows)} of the rows of tables" if spec.rows else "rows of tables"] if spec.cuts_rows else []
        done = f"Removing {' and '.join(parts)}"
    return f"{done}, shares set layer by layer" if spec.overrides else done


def _answers(found: LatencyMeasurement, report: LatencyReport, timed: list[CandidateLatency]) -> None:
    """Answer for each pruned model in the runtime of the baseline, in each other runtime, and for the fastest of all."""
    what = {name: _did(spec, found.achieved.get(name)) for name, spec in found.specs.items()}
    base = timed[0]
    said = [
        answer(row, what[row.name], f"{base.name} in {RUNTIMES[base.runtime].title}")
        for row in timed
        if row.name in what and row.runtime == base.runtime and row.ratio
    ]
    here = f"In {RUNTIMES[base.runtime].title},"
    said += [f"{sentence}." for sentence in report.within_runtimes(*base.group) if not sentence.startswith(here)]
    fastest = min(timed, key=lambda row: row.median_ms or 0.0)
    if fastest.runtime != base.runtime and fastest.ratio:
        said.append(answer(fastest, f"Fastest of all, in {RUNTIMES[fastest.runtime].title}", base.title))
    st.markdown(unbroken("  \n".join(said)))


def ratio_frame(rows: list[CandidateLatency], labels: dict[CandidateLatency, str], base: CandidateLatency) -> pd.DataFrame:
    """Return the speed-ups: measured, measured within another runtime than the baseline's, and from MACs."""
    found = []
    for row in rows:
        assert row.ratio is not None
        other = row.within if row.runtime != base.runtime and row.name != base.name else None
        here = (math.nan,) * 3 if other is None else other.speed
        found.append((labels[row], *row.ratio.speed, *here, 1 / row.macs_ratio if row.macs_ratio else math.nan))
    return pd.DataFrame(found, columns=["candidate", "value", "low", "high", "within", "within_low", "within_high", "macs"])


def samples_caption(report: LatencyReport, group: Group, timed: list[CandidateLatency]) -> str:
    """Say how it was measured."""
    base, turn = timed[0], next(turn for turn in report.turns if turn.group == group)
    assert base.q1_ms is not None and base.q3_ms is not None
    busy = ""
    if base.q3_ms > 1.3 * base.q1_ms:
        busy = " Something else was busy on this machine: samples scatter, but the turns keep the ratios fair."
    versions = ", ".join(dict.fromkeys(report.versions.values()))
    return (
        f"{plural(turn.rounds, 'round')} in which every row had its turn, in shuffled order, in a process of its own ({versions}; "
        f"{report.device.upper()}, {plural(group.threads, 'thread')}, {group.where}); stopped at: {turn.stopped}. The middle half of the "
        f"{base.name} samples lies between {tables.ms(base.q1_ms)} and {tables.ms(base.q3_ms)} ms.{busy}"
    )


def ratios_caption(timed: list[CandidateLatency]) -> str:
    """Say how far theory is from what was measured."""
    smaller = next((row for row in timed if row.name == "smaller" and row.runtime == timed[0].runtime and row.ratio), None)
    if smaller is None or smaller.ratio is None or not smaller.macs_ratio:
        return "Filled: measured, with its 95\u202f% interval. Hollow diamond: the ratio of MACs, which is theory."
    promised, value = 1 / smaller.macs_ratio, smaller.ratio.speed[0]
    how = "less than" if value < promised * 0.95 else "more than" if value > promised * 1.05 else "about"
    work = by_times(promised, 1, "fewer MACs", "more MACs", "as many MACs as before")
    return (
        f"The smaller model has {work} and runs {times(value)} as fast as {timed[0].name} in "
        f"{RUNTIMES[smaller.runtime].title}: {how} what MACs promise. For masked weights the hollow diamond counts non-zero weights "
        "only, which dense kernels cannot skip."
    )
