"""Why is it not faster? Times by layer, the break-even of sparse kernels, and the measured cause in words."""

from prunekit.latency.diagnosis.breakeven import BreakEven, Cell, break_even
from prunekit.latency.diagnosis.evidence import BETWEEN, Evidence, LayerEvidence, Machine, Rounded, Spread
from prunekit.latency.diagnosis.explain import TITLES, Cause, explain
from prunekit.latency.diagnosis.layer_capture import RUNTIMES
from prunekit.latency.diagnosis.layer_times import Diagnosis, LayerTimes, diagnose, layer_times
from prunekit.latency.diagnosis.wording import verdict

__all__ = [
    "BETWEEN",
    "RUNTIMES",
    "TITLES",
    "BreakEven",
    "Cause",
    "Cell",
    "Diagnosis",
    "Evidence",
    "LayerEvidence",
    "LayerTimes",
    "Machine",
    "Rounded",
    "Spread",
    "break_even",
    "diagnose",
    "explain",
    "layer_times",
    "verdict",
]
