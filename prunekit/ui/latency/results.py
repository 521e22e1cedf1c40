"""The results of the Latency page: the answer, every sample, ratios beside theory, memory, size and accuracy in one table."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from prunekit.evaluation.sizes import gzip_note
from prunekit.formatting import percent, plural, size, times
from prunekit.latency.report import CandidateLatency, LatencyReport
from prunekit.plots import theme
from prunekit.plots.latency import ratios, samples, speed_grid
from prunekit.plots.layer_bars import sizes as sizes_chart
from prunekit.plots.theme import KEPT, run_colour
from prunekit.runtimes.backends import RUNTIMES
from prunekit.ui.components import setting_controls, show
from prunekit.ui.latency.setup import Timed
from prunekit.ui.state.settings import Settings

MASKED = "#e69f00"
Group = tuple[int, int]


def colour_of(name: str) -> str:
    """Return the colour of a candidate, the same on every page."""
    if name.startswith("run "):
        return run_colour(int(name.removeprefix("run ")), show.dark())
    return {"dense": theme.dense(show.dark()), "masked": MASKED, "smaller": KEPT}[name]


def results(now: Settings, found: Timed) -> None:
    """Show everything that was measured."""
    report = found.report
    group = _group(report)
    rows = [row for row in report.candidates if (row.batch, row.threads) == group]
    timed = [row for row in rows if row.error is None]
    _failures([row for row in rows if row.error is not None])
    if not timed:
        return
    _tiles(rows, timed)
    _answers(now, timed)
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
            show.chart(ratios(ratio_frame(compared, labels), colours=colours, dark=show.dark()), "ratios", ratios_caption(timed))
    _table(report, rows)
    _grid(report)
    _sizes(found)


def _group(report: LatencyReport) -> Group:
    """Return the batch and threads that are shown; choose where there are several."""
    groups = list(dict.fromkeys((row.batch, row.threads) for row in report.candidates))
    if len(groups) < 2:
        return groups[0]
    place = st.segmented_control(
        "Show",
        list(range(len(groups))),
        required=True,
        default=0,
        key="latency_group",
        format_func=lambda i: f"batch {groups[i][0]}, {plural(groups[i][1], 'thread')}" if i < len(groups) else "",
    )
    return groups[place] if isinstance(place, int) and place < len(groups) else groups[0]


def _failures(rows: list[CandidateLatency]) -> None:
    """Say which rows could not be measured, and why."""
    if rows:
        said = "\n".join(f"- **{row.title}, batch {row.batch}**: {show.plain(str(row.error))}" for row in rows)
        st.warning(f"Not measured:\n{said}", icon=":material/timer_off:")


def label(row: CandidateLatency, report: LatencyReport) -> str:
    """Return what a row is called in pictures: the runtime only where there are several."""
    several = len({other.runtime for other in report.candidates}) > 1
    return f"{row.name} · {RUNTIMES[row.runtime].title}" if several else row.name


def three(number: float | None) -> str:
    """Return a number with three figures and no exponent."""
    return "–" if number is None else f"{number:.3g}" if abs(number) < 1000 else f"{number:,.0f}"


def speed(row: CandidateLatency) -> tuple[float, float, float]:
    """Return how many times faster a row is than the baseline, with its interval."""
    r = row.ratio
    assert r is not None
    return 1 / r.value, 1 / r.high, 1 / r.low


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
            below = (
                "the baseline"
                if row is base
                else "no baseline to compare with"
                if row.ratio is None
                else "{:.2f}× ({:.2f} to {:.2f})".format(*speed(row))
            )
            note = f"Quartiles {three(row.q1_ms)} to {three(row.q3_ms)} ms; {three(row.throughput)} samples a second."
            show.tile(
                f"{first}{row.title}" if first else row.title[:1].upper() + row.title[1:],
                f"{three(row.median_ms)} ms",
                "measured",
                below,
                note,
            )


def answer(row: CandidateLatency, what: str) -> str:
    """Say in one sentence whether a candidate is faster."""
    value, low, high = speed(row)
    span = f"95 % interval {low:.2f} to {high:.2f}"
    promise = f"; its MACs alone would promise {1 / row.macs_ratio:.2f}×" if row.macs_ratio else ""
    if row.ratio is None or not row.ratio.different:
        return f"**{what}: no significant difference** ({value:.2f}×, {span}){promise}."
    if value > 1:
        return f"**{what}: {value:.2f}× faster** ({span}){promise}."
    return f"**{what}: {1 / value:.2f}× slower** (speed {value:.2f}×, {span}){promise}."


def _answers(now: Settings, timed: list[CandidateLatency]) -> None:
    """Answer for each pruned model in the runtime of the baseline, and for the fastest of all."""
    what = {
        "masked": f"Zeroing weights by {now.pattern}" if now.mode == "nm" else f"Zeroing {percent(now.sparsity, 0)} of the weights",
        "smaller": f"Removing {percent(now.sparsity, 0)} of {setting_controls.COUNTED[now.target]}",
    }
    base = timed[0]
    said = [answer(row, what[row.name]) for row in timed if row.name in what and row.runtime == base.runtime and row.ratio]
    fastest = min(timed, key=lambda row: row.median_ms or 0.0)
    if fastest.runtime != base.runtime and fastest.ratio:
        said.append(answer(fastest, f"{fastest.title[:1].upper()}{fastest.title[1:]}, against {base.title}"))
    st.markdown("  \n".join(said))


def ratio_frame(rows: list[CandidateLatency], labels: dict[CandidateLatency, str]) -> pd.DataFrame:
    """Return the speed-ups, measured and from MACs."""
    found = [(labels[row], *speed(row), 1 / row.macs_ratio if row.macs_ratio else float("nan")) for row in rows]
    return pd.DataFrame(found, columns=["candidate", "value", "low", "high", "macs"])


def samples_caption(report: LatencyReport, group: Group, timed: list[CandidateLatency]) -> str:
    """Say how it was measured."""
    base, turn = timed[0], next(turn for turn in report.turns if (turn.batch, turn.threads) == group)
    assert base.q1_ms is not None and base.q3_ms is not None
    busy = ""
    if base.q3_ms > 1.3 * base.q1_ms:
        busy = " Something else was busy on this machine: samples scatter, but the turns keep the ratios fair."
    versions = ", ".join(dict.fromkeys(report.versions.values()))
    return (
        f"{plural(turn.rounds, 'round')} in which every row had its turn, in shuffled order, in a process of its own ({versions}; "
        f"{report.device.upper()}, {plural(group[1], 'thread')}, batch {group[0]}); stopped at: {turn.stopped}. The middle half of the "
        f"{base.name} samples lies between {three(base.q1_ms)} and {three(base.q3_ms)} ms.{busy}"
    )


def ratios_caption(timed: list[CandidateLatency]) -> str:
    """Say how far theory is from what was measured."""
    smaller = next((row for row in timed if row.name == "smaller" and row.runtime == timed[0].runtime and row.ratio), None)
    if smaller is None or not smaller.macs_ratio:
        return "Filled: measured, with its 95 % interval. Hollow: the ratio of MACs, which is theory."
    promised, value = 1 / smaller.macs_ratio, speed(smaller)[0]
    how = "less than" if value < promised * 0.95 else "more than" if value > promised * 1.05 else "about"
    return (
        f"The smaller model has {promised:.2f}× fewer MACs and runs {value:.2f}× as fast in {RUNTIMES[smaller.runtime].title}: {how} what "
        "MACs promise. For masked weights the hollow mark counts non-zero weights only, which dense kernels cannot skip."
    )


def _table(report: LatencyReport, rows: list[CandidateLatency]) -> None:
    """Show every figure of every row."""
    show.section("All figures", f"Scores compared with eager mode on {report.checked_on}.")
    st.dataframe(table(rows), hide_index=True, width="stretch")
    energy = f"Energy: {report.energy}." if report.energy else "Energy is that of the whole processor, by its own counter."
    judged = next((row.accuracy for row in rows if row.accuracy), None)
    on = f" Accuracy on {judged.n:,} test images, with fewer bits in the runtime itself." if judged else ""
    st.caption(
        "Memory is the most that a process of its own needed for inference: weights, activations and the runtime's own. "
        f"The file is what the runtime opens.{on} {energy}"
    )


def table(rows: list[CandidateLatency]) -> pd.DataFrame:
    """Return the figures as people read them."""
    found = []
    for row in rows:
        good = row.error is None
        span = f"{row.accuracy.value:.1%} ({row.accuracy.low:.1%}–{row.accuracy.high:.1%})" if row.accuracy else "–"
        checked = "–" if row.check is None or row.runtime == "eager" else row.check.sentence
        found.append(
            {
                "model": row.name,
                "runtime": RUNTIMES[row.runtime].title,
                "median ms": three(row.median_ms) if good else "not measured",
                "× faster": "–" if row.ratio is None else "{:.2f} ({:.2f}–{:.2f})".format(*speed(row)),
                "by MACs": times(1 / row.macs_ratio) if row.macs_ratio else "–",
                "samples/s": f"{row.throughput:,.0f}" if row.throughput else "–",
                "accuracy": span,
                "memory": size(row.peak_bytes) if row.peak_bytes is not None else "–",
                "file": size(row.file_bytes) if row.file_bytes is not None else "–",
                "energy": f"{1000 * row.energy_j:.3g} mJ" if row.energy_j is not None else "–",
                "against eager": checked,
                "notes": "; ".join(row.notes) or "–",
            }
        )
    frame = pd.DataFrame(found)
    empty = [name for name in ("energy", "notes", "accuracy") if (frame[name] == "–").all()]
    return frame.drop(columns=empty)


def _grid(report: LatencyReport) -> None:
    """Draw the speed-up over batch and threads, where there are several."""
    groups = [(turn.batch, turn.threads) for turn in report.turns]
    names = [row for row in report.candidates if (row.batch, row.threads) == groups[0] and row.ratio is not None][1:] if groups else []
    if len(groups) < 2 or not names:
        return
    show.section("Does it depend on batch and threads?")
    by_title = {row.title: row for row in names}
    titles = list(by_title)
    picked = st.selectbox("Speed-up of", titles, index=_smaller(names), key=f"grid_of_{'_'.join(titles)}", width=320)
    chosen = by_title[str(picked)]
    same = [row for row in report.candidates if (row.name, row.runtime) == (chosen.name, chosen.runtime) and row.ratio]
    frame = pd.DataFrame([(r.batch, r.threads, *speed(r)) for r in same], columns=["batch", "threads", "value", "low", "high"])
    best, worst = frame.loc[frame["value"].idxmax()], frame.loc[frame["value"].idxmin()]
    show.chart(
        speed_grid(frame, dark=show.dark()), "speed_grid",
        f"{chosen.title}: {best['value']:.2f}× at batch {best['batch']:.0f} with {plural(int(best['threads']), 'thread')}, "
        f"{worst['value']:.2f}× at batch {worst['batch']:.0f} with {plural(int(worst['threads']), 'thread')}; each against "
        f"{report.candidates[0].title} at the same batch and threads.",
    )  # fmt: skip


def _sizes(found: Timed) -> None:
    """Draw the four sizes of each model as bars, and the quantised file."""
    rows = []
    for name, sizes in found.sizes.items():
        form = sizes.sparse_format.split(",")[0]
        every = {
            "file": sizes.dense,
            f"gzipped{f' ({note})' if (note := gzip_note(sizes.to_dict())) else ''}": sizes.gzip,
            f"zeros left out{f' ({form})' if form != 'dense' else ''}": sizes.sparse,
        }
        every |= {"after surgery": sizes.surgery} if name == "smaller" else {}
        quantised = next((r.file_bytes for r in found.report.candidates if r.name == name and RUNTIMES[r.runtime].file == "int8"), None)
        colour = colour_of(name)
        rows += [(f"{name}: {words}", n, size(n), name == "dense", colour) for words, n in (every | {"int8": quantised}).items() if n]
    if rows:
        show.section("How large is each on disk?")
        frame = pd.DataFrame(rows, columns=["label", "bytes", "text", "dense", "colour"])
        least = frame.loc[frame["bytes"].idxmin()]
        first = float(frame["bytes"].iloc[0])
        show.chart(
            sizes_chart(frame, dark=show.dark()), "latency_sizes",
            f"The smallest is {least['label']} with {least['text']}, {times(first / least['bytes'])} less than the dense file. Zeros alone "
            "make no file smaller until they are left out or compressed.",
        )  # fmt: skip


def _smaller(rows: list[CandidateLatency]) -> int:
    """Return the place of the smaller model."""
    return next((place for place, row in enumerate(rows) if row.name == "smaller"), 0)
