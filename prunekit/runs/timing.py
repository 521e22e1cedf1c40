"""Latencies kept: each row of a measurement belongs to the run that was timed."""

from __future__ import annotations

from collections.abc import Mapping

from prunekit.measure.latency_report import CandidateLatency, LatencyReport
from prunekit.runs.identity import digest, installed, measurement_id
from prunekit.runs.records import Measurement
from prunekit.runs.store import RunStore

WHAT = "latency"


def keep_latency(report: LatencyReport, runs: Mapping[str, str], store: RunStore) -> list[Measurement]:
    """Keep what was timed; measured again on this machine in the same way, it replaces the earlier figures.

    Parameters
    ----------
    report : LatencyReport
        What was found; rows that failed are not kept.
    runs : mapping of str to str
        Candidate's name -> id of its run, which is in the store. Candidates that are no runs are left out.
    store : RunStore
        Where to.

    Returns
    -------
    list of Measurement
        ``what`` is ``"latency"``; ``value`` holds the row as :meth:`prunekit.measure.CandidateLatency.to_dict` gives it, without the
        samples, and ``device``, ``input_shape`` and ``baseline`` (``name``, ``run`` or None, ``runtime``), which the ratio is told against.

    Raises
    ------
    StoreError
        If a run is not there, or the store cannot be written.
    """
    kept = [_seen(report, row, runs) for row in report.candidates if row.error is None and row.name in runs]
    for seen in kept:
        store.put_measurement(seen)
    return kept


def _seen(report: LatencyReport, row: CandidateLatency, runs: Mapping[str, str]) -> Measurement:
    """Return a row as a measurement: called by run, runtime, batch, threads, device, sample, machine and versions."""
    base = report.baseline(row.batch, row.threads)
    value = {name: told for name, told in row.to_dict().items() if name not in ("samples_ms", "name")}
    setting = {"batch": row.batch, "threads": row.threads, "device": report.device, "input_shape": list(report.input_shape)}
    value |= setting | {"baseline": {"name": base.name, "run": runs.get(base.name), "runtime": base.runtime}}
    versions = {**installed(), "runtime": report.versions[row.runtime]}
    hashed, run = digest(setting), runs[row.name]
    name = measurement_id(run, hashed, "", row.batch, what=WHAT, runtime=row.runtime, versions=versions)
    return Measurement(name, run, {}, hashed, "", row.batch, value, None, WHAT, row.runtime, versions=versions)


def latencies(store: RunStore, run: str) -> list[Measurement]:
    """Return the latencies of a run, the latest first."""
    return [seen for seen in store.measurements(run) if seen.what == WHAT]
