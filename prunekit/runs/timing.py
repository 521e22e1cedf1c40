"""Latencies kept: each row of a measurement belongs to the run that was timed."""

from __future__ import annotations

from collections.abc import Mapping

from prunekit.measure.latency_report import LatencyReport
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
    raise NotImplementedError


def latencies(store: RunStore, run: str) -> list[Measurement]:
    """Return the latencies of a run, the latest first."""
    return [seen for seen in store.measurements(run) if seen.what == WHAT]
