"""Speed as it was measured here: one setting for all columns, each against the dense model in the same runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prunekit.comparison.columns import Speed
from prunekit.runs.identity import this_machine
from prunekit.runs.records import Measurement


class Setting(NamedTuple):
    """What two times must share to be compared."""

    runtime: str
    device: str
    batch: int
    threads: int
    shape: tuple[int, ...]


def speeds(latency: Mapping[str, Sequence[Measurement]], dense: str) -> dict[str, Speed]:
    """Return the speed of each run under the one setting in which most of them were timed on this machine.

    Parameters
    ----------
    latency : mapping of str to sequence of Measurement
        Id of a run to all that was timed of it.
    dense : str
        The dense model's run. Only ratios to it, in the same runtime, at the same batch and threads and on the same device, count.

    Returns
    -------
    dict of str to Speed
        Of those that were timed so; the dense model itself is 1 where anything was.
    """
    timed = {run: [m for m in seen if _counts(m, dense)] for run, seen in latency.items() if run != dense}
    found: dict[Setting, dict[str, Measurement]] = {}
    for run, seen in timed.items():
        for m in sorted(seen, key=lambda m: m.created):  # the latest stays
            found.setdefault(_setting(m), {})[run] = m
    if not found:
        return {}
    setting = min(found, key=lambda s: (-len(found[s]), s.runtime != "eager", s.device != "cpu", s))
    told = {run: _speed(m, setting) for run, m in found[setting].items()}
    return {dense: Speed(1.0, 1.0, 1.0, False, setting.runtime, setting.batch, setting.threads, setting.device), **told}


def _counts(m: Measurement, dense: str) -> bool:
    """Whether a ratio is one to the dense model, measured here in the same runtime."""
    base = m.value.get("baseline") or {}
    here = m.machine == dict(this_machine()) and m.value.get("ratio") is not None
    return here and base.get("run") == dense and base.get("runtime") == m.runtime


def _setting(m: Measurement) -> Setting:
    """Return under which conditions a time was measured."""
    value = m.value
    shape = tuple(value.get("input_shape") or ())
    return Setting(m.runtime, str(value.get("device", "cpu")), int(value["batch"]), int(value["threads"]), shape)


def _speed(m: Measurement, s: Setting) -> Speed:
    """Return what a measurement says."""
    ratio, median = m.value["ratio"], m.value.get("median_ms")
    value, low, high = (float(ratio[name]) for name in ("value", "low", "high"))
    told = None if median is None else float(median)
    return Speed(value, low, high, bool(m.value.get("different")), s.runtime, s.batch, s.threads, s.device, told)
