"""Why is it not faster? A pure decision over measured evidence: no clock, no model, no chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from prunekit.latency.diagnosis import wording
from prunekit.latency.diagnosis.evidence import BETWEEN, Evidence, LayerEvidence
from prunekit.latency.interleaved_timing import MARGIN

MANY = 0.1  # share of weights set to zero from which a person expects something of it
ABOUT = 0.07  # a time this close to what the shapes alone explain has gained nothing from the zeros
KEPT_WORD = 1.1  # a pass whose interval reaches down to this multiple of what its MACs promise needs no explanation
LAG = 1.25  # a layer's time fell far less than its MACs where its ratio is this multiple of theirs, and the interval lies above theirs
FEWER = 0.9  # MACs must have fallen at least to this for a lag to mean anything
EXPLAINS = 1 / 3  # a floor (memory, call) accounts for a layer where it makes up at least this share of its measured time
WORTH = 0.05  # share of the pass that must be lost for a cause to be named
MUCH_BETWEEN = 0.2  # share of the pass between the layers that is worth naming
EQUAL = 0.02  # two times are equal where the interval of their ratio does not reach further above 1
MORE = 1.05  # channels that come free are worth naming from this many times the MACs

TITLES = {
    "masked": "Zeros in dense kernels",
    "sparse_kernel": "A sparse kernel below its break-even",
    "memory": "Bound by memory",
    "overhead": "Bound by call overhead",
    "odd_channels": "Odd channel counts",
    "lookups": "Table lookups",
    "between": "Time between the layers",
    "kernels": "Slower kernels at smaller shapes",
}


@dataclass(frozen=True)
class Cause:
    """One measured reason why a model is not faster.

    Attributes
    ----------
    name : str
        A key of `TITLES`.
    layers : tuple of str
        The layers it is about, in the order of the pass; empty where layers were not timed.
    sentence, advice : str
        What was measured, and what to do.
    share_of_time : float or None
        Share of the pass that these layers take now, 0 to 1; None where layers were not timed.
    """

    name: str
    layers: tuple[str, ...] = field(repr=False)
    sentence: str
    advice: str
    share_of_time: float | None

    @property
    def title(self) -> str:
        """What it is called on a screen."""
        return TITLES[self.name]


def explain(evidence: Evidence) -> tuple[Cause, ...]:
    """Return why a model is not as fast as its MACs promise, the cause with most of the time first.

    A pure function: equal evidence gives equal causes. Where the promise is kept there is nothing to explain, unless the same model at
    rounder channel counts was measured to be faster still.

    Parameters
    ----------
    evidence : Evidence
        What was measured.

    Returns
    -------
    tuple of Cause
        ``masked``: zeros that the runtime multiplies like any other number. ``sparse_kernel``: layers whose sparse kernel is not faster
        than the dense one. ``memory``, ``overhead``: layers whose time fell far less than their MACs, by what bounds them on this machine.
        ``lookups``: embedding tables, of which each pass reads as many rows as before. ``odd_channels``: the same model at a multiple of
        eight is faster, or equally fast with notably more channels. ``between``: what lies between the layers fell far less than the MACs.
        ``kernels``: layers that lag although none of these accounts for it.
    """
    odd, lookups = _odd_channels(evidence), _lookups(evidence)
    if evidence.ratio.low <= KEPT_WORD * evidence.effective_ratio:
        found = [odd] if odd is not None and evidence.rounded is not None and evidence.rounded.ratio.different else []
        found += [] if lookups is None or evidence.ratio.high < 1 - MARGIN or not _rows_gone(evidence) else [lookups]
    else:
        causes = (_masked(evidence), _sparse_kernel(evidence), *_bound(evidence, odd), lookups, odd, _between(evidence))
        found = [cause for cause in causes if cause is not None]
    return tuple(sorted(found, key=lambda cause: -1.0 if cause.share_of_time is None else -cause.share_of_time))


def bound_of(layer: LayerEvidence, evidence: Evidence) -> str:
    """Return what a layer's time after pruning is bound by on this machine.

    ``memory``, ``overhead`` (of the call), ``compute``, or ``""`` where no machine figures are known or the largest of the three floors
    makes up too little of the measured time.
    """
    if evidence.machine is None:
        return ""
    floors = {
        "compute": evidence.machine.compute_ms(layer.macs_after),
        "memory": evidence.machine.memory_ms(layer.bytes_after, layer.fresh_after),
        "overhead": evidence.machine.call_ms(layer.type),
    }
    largest = max(floors, key=lambda name: floors[name])
    return largest if floors[largest] >= EXPLAINS * layer.after.ms else ""


def lags(layer: LayerEvidence) -> bool:
    """Return whether a layer's time fell far less than its MACs, which fell, and certainly less."""
    shape = layer.shape_ratio
    return not layer.sparse and shape <= FEWER and layer.ratio.value > LAG * shape and layer.ratio.low > shape


def _cause(evidence: Evidence, name: str, layers: Sequence[LayerEvidence], sentence: str, advice: str) -> Cause:
    """Put a cause together, with its layers' share of the pass."""
    share = sum(layer.after.ms for layer in layers) / evidence.total_ms if evidence.layers else None
    return Cause(name, tuple(layer.name for layer in layers), sentence, advice, share)


def _masked(evidence: Evidence) -> Cause | None:
    """Zeros in layers that run dense, whose time is what their shapes alone explain."""
    if evidence.zeros < MANY:
        return None
    layers = [layer for layer in evidence.layers if layer.new_zeros >= MANY and not (layer.sparse or layer.looks_up)]
    if evidence.layers:
        now, shapes = sum(layer.after.ms for layer in layers), sum(layer.before.ms * layer.shape_ratio for layer in layers)
        gained = now < (1 - ABOUT) * shapes
        if not layers or gained or now < WORTH * evidence.total_ms:
            return None
    elif evidence.ratio.value < (1 - ABOUT) * evidence.macs_ratio:
        return None
    return _cause(evidence, "masked", layers, *wording.masked(evidence, layers))


def _sparse_kernel(evidence: Evidence) -> Cause | None:
    """Layers that run a sparse kernel which is not certainly faster than the dense one."""
    layers = [layer for layer in evidence.layers if layer.sparse and layer.ratio.high >= 1 - MARGIN]
    if sum(layer.after.ms for layer in layers) < WORTH * evidence.total_ms or not layers:
        return None
    return _cause(evidence, "sparse_kernel", layers, *wording.sparse_kernel(layers))


def _lost(layers: Sequence[LayerEvidence]) -> float:
    """Return the milliseconds by which layers are slower than if their time had fallen like their MACs."""
    return sum(max(0.0, layer.after.ms - layer.before.ms * layer.shape_ratio) for layer in layers)


def _bound(evidence: Evidence, odd: Cause | None) -> list[Cause]:
    """Layers that lag, by what bounds them; those that nothing accounts for last."""
    groups: dict[str, list[LayerEvidence]] = {"memory": [], "overhead": [], "kernels": []}
    for layer in filter(lags, evidence.layers):
        bound = bound_of(layer, evidence)
        if bound in groups:
            groups[bound].append(layer)
        elif odd is None or layer.name not in odd.layers:
            groups["kernels"].append(layer)
    return [
        _cause(evidence, name, layers, *wording.bound(name, layers, evidence))
        for name, layers in groups.items()
        if layers and _lost(layers) >= WORTH * evidence.total_ms
    ]


def _rows_gone(evidence: Evidence) -> bool:
    """Return whether tables lost so many of their rows that a person expects something of it."""
    before, after = (sum(getattr(layer, rows) for layer in evidence.layers) for rows in ("rows_before", "rows_after"))
    return bool(before > 0 and after <= (1 - MANY) * before)


def _lookups(evidence: Evidence) -> Cause | None:
    """Embedding tables that take much of the pass, or lost rows, which saves none of it."""
    layers = [layer for layer in evidence.layers if layer.looks_up]
    if not layers or not (_rows_gone(evidence) or sum(layer.after.ms for layer in layers) >= MUCH_BETWEEN * evidence.total_ms):
        return None
    return _cause(evidence, "lookups", layers, *wording.lookups(layers, evidence))


def _odd_channels(evidence: Evidence) -> Cause | None:
    """Faster at a multiple of eight, or equally fast with more channels in layers that are bound by neither memory nor calls."""
    rounded = evidence.rounded
    layers = [layer for layer in evidence.layers if layer.odd]
    if rounded is None or (evidence.layers and not layers):
        return None
    faster = rounded.ratio.different and rounded.ratio.high < min(1.0, rounded.macs_ratio)  # fewer MACs would explain some of it
    free = rounded.macs_ratio >= MORE and rounded.ratio.high <= 1 + EQUAL and not _mostly_bound(evidence)
    if not (faster or free):
        return None
    return _cause(evidence, "odd_channels", layers, *wording.odd_channels(rounded, layers, faster))


def _mostly_bound(evidence: Evidence) -> bool:
    """Return whether half of the pass or more lies in layers bound by memory or calls, where more channels cost nothing anyway."""
    bound = sum(layer.after.ms for layer in evidence.layers if bound_of(layer, evidence) in ("memory", "overhead"))
    return bool(evidence.layers) and bound >= 0.5 * evidence.total_ms


def _between(evidence: Evidence) -> Cause | None:
    """Name what lies between the layers where it is a large part of the pass and fell far less than the MACs."""
    before, after = evidence.between()
    if evidence.macs_ratio > FEWER or not evidence.layers or after < MUCH_BETWEEN * evidence.total_ms:
        return None
    if after <= LAG * evidence.macs_ratio * before or after - evidence.macs_ratio * before < WORTH * evidence.total_ms:
        return None
    return Cause("between", (BETWEEN,), *wording.between(before, after, evidence), after / evidence.total_ms)
