"""Which figure of each kind a comparison shows: accuracy on the same images, the size that people would ship, speed in one setting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from prunekit.comparison.columns import Shipped, Speed
from prunekit.config.ids import DataId
from prunekit.evaluation.sizes import parts
from prunekit.experiments.identity import this_machine
from prunekit.experiments.records import QUALITY, Measurement, Run
from prunekit.experiments.sources import INT8
from prunekit.experiments.sources import INT8 as FILE
from prunekit.tasks.protocol import PASS, Group


class Images(NamedTuple):
    """Certain images, and what is measured on them: the fingerprint of the split, how many of it, the metric."""

    data_hash: str
    images: int
    metric: str


def eligible(run: Run, seen: Iterable[Measurement], data: DataId | str | None, split: str) -> list[Measurement]:
    """Return the accuracies of a run that could stand in a comparison, those that can be vouched for and those of this machine first."""
    found = [m for m in seen if m.what in QUALITY and m.split == split and m.observations is not None and _is_of(m.data, data)]
    own = "int8" if run.info.get("file") == INT8 else "eager"
    found = [m for m in found if m.runtime == own]
    here = dict(this_machine())
    return sorted(sorted(found, key=lambda m: m.created, reverse=True), key=lambda m: (m.earlier, m.machine != here))


def _is_of(plain: Mapping[str, Any], data: DataId | str | None) -> bool:
    """Whether a measurement is of the data that were asked for."""
    if data is None:
        return True
    return plain == data.to_dict() if isinstance(data, DataId) else plain.get("name") == data


def most_measured(seen: Sequence[Sequence[Measurement]]) -> Measurement | None:
    """Return a measurement on the images that most runs were measured on; among equals the most images, then the latest."""
    counts: dict[Images, int] = {}
    for each in seen:
        for images in {_images(m) for m in each}:
            counts[images] = counts.get(images, 0) + 1
    every = [m for each in seen for m in each]
    return max(every, key=lambda m: (counts[_images(m)], not m.earlier, m.n, m.created), default=None)


def _images(measurement: Measurement) -> Images:
    """Return which images were used."""
    return Images(measurement.data_hash, measurement.n, str((measurement.metric or {}).get("name", "")))


def on_these(seen: Sequence[Measurement], chosen: Measurement | None) -> Measurement | None:
    """Return the accuracy of a run on the images of another measurement, None where there is none."""
    return None if chosen is None else next((m for m in seen if _images(m) == _images(chosen)), None)


SMALLER, SPARSE, INT8_FILE, AS_IT_IS = "file of the smaller model", "best sparse format", "int8 file", "dense file"


def shipped(run: Run) -> Shipped | None:
    """Return the size that people would ship, None where it was never measured.

    That is the file after surgery where channels were removed, the best sparse format where single weights were, the int8 file of a
    quantised model, and the plain file otherwise.
    """
    mode = None if run.spec is None else run.spec.get("mode")
    if run.info.get("file") == FILE:
        how, name = INT8_FILE, "surgery"  # the one file that there is
    elif mode is None:
        how, name = AS_IT_IS, "dense"
    else:
        how, name = (SMALLER, "surgery") if mode == "structured" else (SPARSE, "sparse")
    sizes = run.info.get("sizes")
    size = (sizes or {}).get(name) or run.info.get("bytes")
    return Shipped(int(size), how, parts(sizes).get(name)) if size else None


class Setting(NamedTuple):
    """What two times must share to be compared."""

    runtime: str
    device: str
    batch: int
    threads: int
    shape: tuple[int, ...]
    length: int = 0
    phase: str = PASS

    @property
    def group(self) -> Group:
        """What the rows of one measurement share."""
        return Group(self.batch, self.threads, self.length, self.phase)


Timed = dict[Setting, dict[str, Measurement]]


def speeds(latency: Mapping[str, Sequence[Measurement]], dense: str) -> dict[str, Speed]:
    """Return the speed of each run under the one setting in which most of them were timed on this machine."""
    return _under(_timed(latency, dense), dense, latency.get(dense, ()))


def by_runtime(latency: Mapping[str, Sequence[Measurement]], dense: str) -> dict[str, tuple[Speed, ...]]:
    """Return the speeds of each run in every runtime that it was timed in, as `speeds` does for one."""
    timed, found = _timed(latency, dense), dict[str, tuple[Speed, ...]]()
    for runtime in sorted({setting.runtime for setting in timed}, key=lambda name: (name != "eager", name)):
        for run, speed in _under({s: runs for s, runs in timed.items() if s.runtime == runtime}, dense, latency.get(dense, ())).items():
            found[run] = (*found.get(run, ()), speed)
    return found


def _timed(latency: Mapping[str, Sequence[Measurement]], dense: str) -> Timed:
    """Return by setting what was timed of each run in it; the latest stays."""
    found: Timed = {}
    for run, seen in latency.items():
        for m in sorted(seen, key=lambda m: m.created):
            if run != dense and _counts(m, dense):
                found.setdefault(_setting(m), {})[run] = m
    return found


def _under(timed: Timed, dense: str, own: Sequence[Measurement]) -> dict[str, Speed]:
    """Return the speeds under the setting in which most were timed."""
    if not timed:
        return {}
    setting = min(timed, key=lambda s: (-len(timed[s]), s.runtime != "eager", s.device != "cpu", s))
    told = {run: _speed(m, setting) for run, m in timed[setting].items()}
    beside = [m for m in own if _setting(m) == setting and m.machine == dict(this_machine()) and m.value.get("median_ms") is not None]
    median = float(max(beside, key=lambda m: m.created).value["median_ms"]) if beside else None
    where = (setting.runtime, setting.batch, setting.threads, setting.device)
    return {dense: Speed(1.0, 1.0, 1.0, False, *where, median, setting.group.title), **told}


def _counts(m: Measurement, dense: str) -> bool:
    """Whether a ratio to the dense model in the same runtime was measured here."""
    base = m.value.get("baseline") or {}
    return m.machine == dict(this_machine()) and base.get("run") == dense and _within(m) is not None


def _within(m: Measurement) -> Mapping[str, Any] | None:
    """Return the ratio to the dense model in the same runtime; measurements of earlier versions have it for the baseline's alone."""
    base = m.value.get("baseline") or {}
    told = m.value.get("within")
    if told is not None or base.get("runtime") != m.runtime or m.value.get("ratio") is None:
        return told
    return {**m.value["ratio"], "different": m.value.get("different")}


def _setting(m: Measurement) -> Setting:
    """Return under which conditions a time was measured."""
    value = m.value
    shape = tuple(value.get("input_shape") or ())
    of_text = int(value.get("length") or 0), str(value.get("phase") or PASS)
    return Setting(m.runtime, str(value.get("device", "cpu")), int(value["batch"]), int(value["threads"]), shape, *of_text)


def _speed(m: Measurement, s: Setting) -> Speed:
    """Return what a measurement says."""
    ratio, median = _within(m) or {}, m.value.get("median_ms")
    value, low, high = (float(ratio[name]) for name in ("value", "low", "high"))
    told = None if median is None else float(median)
    return Speed(value, low, high, bool(ratio.get("different")), s.runtime, s.batch, s.threads, s.device, told, s.group.title)
