"""The lower half of the Latency page: all figures of all rows, speed over batch and threads, sizes on disk."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import streamlit as st

from prunekit.evaluation.sizes import FORMS, gzip_note
from prunekit.experiments.latency_report import LatencyMeasurement
from prunekit.formatting import by_times, error, milliseconds, percent, plural, ratio_span, size, times
from prunekit.latency.interleaved_timing import Ratio
from prunekit.latency.report import CandidateLatency, LatencyReport
from prunekit.plots.latency import speed_grid
from prunekit.plots.layer_bars import sizes as sizes_chart
from prunekit.plots.layer_bars import table_words
from prunekit.runtimes.backends import RUNTIMES
from prunekit.tasks.protocol import Group
from prunekit.ui.components import show


def ms(value: float | None) -> str:
    """Return milliseconds, or a dash."""
    return "–" if value is None else milliseconds(value)


def speed(found: Ratio | None) -> str:
    """Return how many times as fast, with its interval."""
    if found is None:
        return "–"
    value, low, high = found.speed
    return f"{times(value)} ({ratio_span(low, high)})"


def figures(report: LatencyReport, rows: list[CandidateLatency]) -> None:
    """Show every figure of every row: time, then what it costs; one table of both would scroll sideways."""
    show.section(
        "All figures",
        f"Outputs compared with eager mode on {report.checked_on}: the largest difference beside the largest value; with fewer bits, how "
        "often the top class is the same.",
    )
    st.dataframe(time_table(rows), hide_index=True, width="stretch", alt="Time of every row")
    st.dataframe(cost_table(rows), hide_index=True, width="stretch", alt="Quality, memory and files of every row")
    for row in rows:
        if row.notes:
            st.caption(show.plain(f"{row.name}, {RUNTIMES[row.runtime].title}: {'; '.join(row.notes)}."))
    energy = f"Energy: {report.energy}." if report.energy else "Energy is that of the whole processor, by its own counter."
    judged = next((row.accuracy for row in rows if row.accuracy), None)
    on = ""
    if judged is not None:
        on = f" {judged.metric.title} on {judged.n:,} test {judged.units}, of rows with fewer bits in the runtime itself."
    st.caption(
        "Memory is the most that a process of its own needed for inference: weights, activations and the runtime's own. "
        f"Opens: the file that the runtime loads.{on} In its runtime: as fast as {rows[0].name} there. A ratio is the median of those "
        "of single rounds: on a busy machine it is not that of the medians. By MACs: those of non-zero weights. "
        f"{energy}"
    )


def time_table(rows: list[CandidateLatency]) -> pd.DataFrame:
    """Return how fast each row is, as people read it."""
    return pd.DataFrame(
        [
            {
                "model": row.name,
                "runtime": RUNTIMES[row.runtime].title,
                "median ms": "not measured" if row.error else ms(row.median_ms),
                f"as fast as {rows[0].title}": speed(row.ratio),
                "in its runtime": speed(row.within),
                "by MACs": times(1 / row.macs_ratio) if row.macs_ratio else "–",
                f"{rows[0].units}/s": f"{row.throughput:,.0f}" if row.throughput else "–",
            }
            for row in rows
        ]
    )


def cost_table(rows: list[CandidateLatency]) -> pd.DataFrame:
    """Return what each row is worth and takes, as people read it; without what none of them has."""
    found = []
    quality = next((f"{row.accuracy.metric.phrase}, n = {row.accuracy.n:,}" for row in rows if row.accuracy), "accuracy")
    for row in rows:
        told = f"{row.accuracy.text()} ({row.accuracy.interval() or 'no interval'})" if row.accuracy else "–"
        found.append(
            {
                "model": row.name,
                "runtime": RUNTIMES[row.runtime].title,
                quality: told,
                "memory": size(row.peak_bytes) if row.peak_bytes is not None else "–",
                "opens": size(row.file_bytes) if row.file_bytes is not None else "–",
                "energy": f"{1000 * row.energy_j:.3g} mJ" if row.energy_j is not None else "–",
                "against eager": _against_eager(row),
            }
        )
    frame = pd.DataFrame(found)
    empty = [name for name in ("energy", "against eager", quality) if (frame[name] == "–").all()]
    return frame.drop(columns=empty)


def _against_eager(row: CandidateLatency) -> str:
    """Return in few words how a row's outputs compare with those of eager mode."""
    if row.check is None or row.check.error is None or row.runtime == "eager":
        return "–"
    alike = RUNTIMES[row.runtime].precision != "float32" and row.check.agreement is not None
    if alike:
        return f"same class, {percent(row.check.agreement or 0.0)}"
    return f"within {error(row.check.error)}" if row.check.error else "to the bit"


def grid(report: LatencyReport) -> None:
    """Draw the speed-up over batch, length and threads, where there are several."""
    groups = [turn.group for turn in report.turns]
    names = [row for row in report.rows(*groups[0]) if row.ratio is not None][1:] if groups else []
    if len(groups) < 2 or not names:
        return
    texts = bool(groups[0].length)
    show.section("Does it depend on batch, length and threads?" if texts else "Does it depend on batch and threads?")
    by_title = {row.title: row for row in names}
    titles = list(by_title)
    picked = st.selectbox("Speed-up of", titles, index=_smaller(names), key=f"grid_of_{'_'.join(titles)}", width=320)
    chosen = by_title[str(picked)]
    same = [row for row in report.candidates if (row.name, row.runtime) == (chosen.name, chosen.runtime) and row.ratio]
    frame = pd.DataFrame(
        [(r.batch, _line(r.group, groups), *r.ratio.speed, _second(r, report)) for r in same if r.ratio],
        columns=["batch", "row", "value", "low", "high", "within"],
    )
    best, worst = (same[int(place)] for place in (frame["value"].idxmax(), frame["value"].idxmin()))
    said = [f"{times(r.ratio.speed[0])} {_condition(r.group)}" for r in (best, worst) if r.ratio]
    elsewhere = any(r.runtime != report.candidates[0].runtime for r in same)
    second = [f"{chosen.units} a second"] * texts + [f"against {report.candidates[0].name} in {RUNTIMES[chosen.runtime].title}"] * elsewhere
    show.chart(
        speed_grid(frame, dark=show.dark()), "speed_grid",
        f"{chosen.title}: {', '.join(said)}; each against {report.candidates[0].title} under the same conditions"
        + (f"; second line: {', and '.join(second)}." if second else "."),
    )  # fmt: skip


def _line(group: Group, groups: list[Group]) -> str:
    """Return what a line of the grid is called: all but the batch, where there are several of it."""
    title = group.title if len({(each.length, each.phase) for each in groups}) > 1 else ""
    threads = plural(group.threads, "thread") if not title or len({each.threads for each in groups}) > 1 else ""
    return ", ".join(filter(None, (title, threads)))


def _condition(group: Group) -> str:
    """Return under which conditions a figure was measured."""
    return f"at batch {group.batch} with {plural(group.threads, 'thread')}" + (f" ({group.title})" if group.length else "")


def sizes_on_disk(found: LatencyMeasurement, colour_of: Callable[[str], str]) -> None:
    """Draw the four sizes of each model as bars, and the quantised file."""
    rows = []
    for name, sizes in found.sizes.items():
        form = sizes.sparse_format.split(",")[0]
        note = gzip_note(sizes.to_dict())
        # a smaller model's file is that after surgery; in the dense shape it is stored as zeros, only to be compressed
        every: dict[str, int | None] = {"file": sizes.surgery} if name == "smaller" else {FORMS["dense"]: sizes.dense}
        every |= {
            FORMS["gzip"] + (f" ({note})" if note else ""): sizes.gzip,
            (sparse := FORMS["sparse"] + (f" ({form})" if form != "dense" else "")): sizes.sparse,
        }
        quantised = next((r.file_bytes for r in found.report.candidates if r.name == name and RUNTIMES[r.runtime].file == "int8"), None)
        colour = colour_of(name)
        told = sizes.tables or {}
        apart = {"file": told.get("surgery"), FORMS["dense"]: told.get("dense"), sparse: told.get("sparse")}
        rows += [
            (f"{name}: {words}", n, size(n), name == "dense", colour, apart.get(words))
            for words, n in (every | {"int8": quantised}).items()
            if n
        ]
    if rows:
        show.section("How large is each on disk?")
        frame = pd.DataFrame(rows, columns=["label", "bytes", "text", "dense", "colour", "tables"])
        frame["tables"] = frame["tables"].astype(float)
        least = frame.loc[frame["bytes"].idxmin()]
        beside = by_times(float(frame["bytes"].iloc[0]), least["bytes"], "less than", "more than", "as much as")
        show.chart(
            sizes_chart(frame, dark=show.dark()), "latency_sizes",
            f"The smallest is {least['label']} with {least['text']}, {beside} the dense file. Zeros alone "
            f"make no file smaller until they are left out or compressed. {table_words(frame)}",
        )  # fmt: skip


def _second(row: CandidateLatency, report: LatencyReport) -> str:
    """Return a row's throughput in tokens, and how many times as fast it is as the baseline's model in a runtime that is another."""
    base = report.baseline(*row.group)
    here = times(row.within.speed[0]) if row.within is not None and row.runtime != base.runtime and row.name != base.name else ""
    return ", ".join(filter(None, (f"{row.throughput:,.0f} {row.units}/s" if row.length and row.throughput else "", here)))


def _smaller(rows: list[CandidateLatency]) -> int:
    """Return the place of the smaller model."""
    return next((place for place, row in enumerate(rows) if row.name == "smaller"), 0)
