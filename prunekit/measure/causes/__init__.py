"""Why is it not faster? Times by layer, the break-even of sparse kernels, and the measured cause in words."""

from prunekit.measure.causes.breakeven import BreakEven, Cell, break_even
from prunekit.measure.causes.evidence import BETWEEN, Evidence, LayerEvidence, Machine, Rounded, Spread
from prunekit.measure.causes.explain import TITLES, Cause, explain
from prunekit.measure.causes.profile import Diagnosis, LayerTimes, diagnose, layer_times
from prunekit.measure.causes.running import RUNTIMES
from prunekit.measure.causes.wording import verdict

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
