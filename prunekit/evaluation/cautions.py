"""What a setting is likely to break before anything of it is measured, each with the choice that avoids it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from prunekit.config.spec import PruneSpec
from prunekit.evaluation.sensitivity.drop_curves import drop_curves
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.formatting import asked, ordinary, percent, plural
from prunekit.tasks.metrics import PERCENT, Metric
from prunekit.tasks.wording import loses, lost_or_gained

FEW, NARROW = 4, 16  # channels: fewer than so many left are few, of a layer that had so many
MUCH = 0.10  # lost: of accuracy points, of another metric a share of the dense model's value
SHORT = 0.005  # of what a share counts: so much less than was asked for is said
NAMED = 3  # layers that a sentence names
MANY = 8  # layers that get caps of their own; of more all get the same


@dataclass(frozen=True)
class LayerCut:
    """What one layer loses."""

    name: str
    left: int  # left, of: channels, or weights, afterwards and before
    of: int
    outputs: int  # how many outputs it has

    @property
    def removed(self) -> float:
        """Share that goes."""
        return 1 - self.left / self.of if self.of else 0.0


@dataclass(frozen=True)
class Choice:
    """A way out: what to change, and what that does in words."""

    words: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Caution:
    """One thing that a setting is likely to break.

    Attributes
    ----------
    kind : {"thin", "sensitivity", "curve", "short"}
        A layer that is left with next to nothing; layers beyond the cliff of their own measured curve; a total beyond that of the
        setting's; a target that is not reached.
    sentence : str
        What, in plain words.
    choices : tuple of Choice
        What avoids it.
    """

    kind: str
    sentence: str
    choices: tuple[Choice, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Point:
    """A sparsity of the same setting that was measured, and what it lost against the dense model."""

    sparsity: float
    loss: float


def cautions(
    spec: PruneSpec,
    cuts: Sequence[LayerCut],
    *,
    achieved: float | None = None,
    sensitivity: Sensitivity | None = None,
    points: Sequence[Point] = (),
    metric: Metric | None = None,
    dense: float = 1.0,
) -> tuple[Caution, ...]:
    """Return what a setting is likely to break."""
    found = [_thin(spec, cuts), _sensitive(spec, cuts, sensitivity), _curve(spec, points, metric, dense), _short(spec, cuts, achieved)]
    return tuple(caution for caution in found if caution is not None)


def _few(cut: LayerCut, channels: bool) -> bool:
    """Return whether next to nothing is left of a layer."""
    if not channels:
        return cut.left < cut.outputs < cut.of  # fewer weights than outputs: some of those are constant
    return cut.left < cut.of and ((cut.left == 1 and cut.of >= FEW) or (cut.left < FEW and cut.of >= NARROW))


def _thin(spec: PruneSpec, cuts: Sequence[LayerCut]) -> Caution | None:
    """Name the layers that are left with next to nothing; caps keep a few channels of each, or a weight for each output."""
    channels = spec.mode == "structured"
    found = sorted((cut for cut in cuts if _few(cut, channels)), key=lambda cut: cut.left / cut.of)
    if not found:
        return None
    what = "channel" if channels else "weight"
    told = [f"{cut.name} is left with {plural(cut.left, what)} of {cut.of:,}" for cut in found[:NAMED]]
    rest = f", and {plural(len(found) - NAMED, 'more layer')} with as few" if len(found) > NAMED else ""
    tail = "all that follows passes through that" if channels else "most of its outputs no longer depend on what goes in"
    if spec.mode == "nm":  # a pattern takes the same of every layer
        return Caution("thin", f"{'; '.join(told)}{rest}: {tail}")
    # what these keep others give: they too must not be emptied
    least = {cut.name: min(FEW, cut.of // 2) if channels else min(cut.outputs, cut.of) for cut in cuts if cut.of > 1}
    caps = {cut.name: (cut.of - least[cut.name]) / cut.of for cut in cuts if cut.name in least}
    words = f"Keep at least {plural(FEW, 'channel')} of every layer" if channels else "Keep a weight for each output of every layer"
    if len(caps) > MANY and not spec.overrides:
        cap = min(caps.values())
        changes: dict[str, Any] = {"cap_all": cap if spec.cap_all is None else min(cap, spec.cap_all)}
    else:
        changes = _capped(spec, caps)
    return Caution("thin", f"{'; '.join(told)}{rest}: {tail}", (Choice(words, changes),))


def _capped(spec: PruneSpec, caps: Mapping[str, float]) -> dict[str, Any]:
    """Return the changes that cap some layers; what an override of theirs asks for is limited too."""
    known = dict(spec.caps)
    merged = {**known, **{name: min(share, known.get(name, 1.0)) for name, share in caps.items()}}
    changes: dict[str, Any] = {"caps": tuple(sorted(merged.items()))}
    if any(name in caps and share > caps[name] for name, share in spec.overrides):
        changes["overrides"] = tuple((name, min(share, caps.get(name, 1.0))) for name, share in spec.overrides)
    return changes


def _sensitive(spec: PruneSpec, cuts: Sequence[LayerCut], found: Sensitivity | None) -> Caution | None:
    """Name the layers that lose more than their own measured curve stands; caps stop before that."""
    if found is None or spec.mode == "nm":
        return None
    metric, limit = found.dense.metric, _limit(found.dense.metric, found.dense.value)
    by_name = {cut.name: cut for cut in cuts}
    members = {layer.name: [name for name in layer.layers or (layer.name,) if name in by_name] for layer in found.layers}
    beyond = []
    for curve in drop_curves(found):
        removed = max((by_name[name].removed for name in members[curve.name]), default=0.0)
        loss = float(np.interp(removed, curve.sparsities, curve.drops))
        if loss > limit and removed > 0:
            safe = float(curve.sparsities[curve.drops <= limit].max())
            most = float(curve.sparsities[-1])  # a curve says nothing beyond its last point
            at = percent(removed) if removed <= most else f"{percent(removed)} (at {percent(most)}, the most that was measured)"
            beyond.append((loss, members[curve.name][0], at, safe))
    if not beyond:
        return None
    beyond.sort(reverse=True)
    told = [f"{name} at {at} {loses(metric, loss)} alone" for loss, name, at, _ in beyond[:NAMED]]
    rest = f", and {plural(len(beyond) - NAMED, 'more layer')} lose much" if len(beyond) > NAMED else ""
    sentence = f"by the stored sensitivity, {'; '.join(told)}{rest}"
    caps = {name: safe for _, name, _, safe in beyond}
    words = f"Take at most {percent(beyond[0][3])} of {beyond[0][1]}" if len(beyond) == 1 else "Stop before the cliff of each of them"
    return Caution("sensitivity", ordinary(sentence), (Choice(ordinary(words), _capped(spec, caps)),))


def _limit(metric: Metric, dense: float) -> float:
    """Return the loss that is much."""
    return MUCH if metric.unit == PERCENT else MUCH * abs(dense)


def _curve(spec: PruneSpec, points: Sequence[Point], metric: Metric | None, dense: float) -> Caution | None:
    """Say that the total lies beyond the cliff of a curve that was measured of the same setting; before it there is a way back."""
    if spec.sparsity is None or metric is None:
        return None
    limit, known = _limit(metric, dense), sorted(points, key=lambda point: point.sparsity)
    broken = next((point for point in known if point.loss > limit), None)
    if broken is None or spec.sparsity < broken.sparsity:
        return None
    safe = max((point.sparsity for point in known if point.sparsity < broken.sparsity), default=0.0)
    sentence = f"measured before: this setting at {percent(broken.sparsity)} already {loses(metric, broken.loss)}"
    choices = (Choice(ordinary(f"Go back to {percent(safe)}"), {"sparsity": safe}),) if safe else ()
    held = f"; at {percent(safe)} {lost_or_gained(metric, max(p.loss for p in known if p.sparsity == safe))}" if safe else ""
    return Caution("curve", ordinary(sentence + held), choices)


def _short(spec: PruneSpec, cuts: Sequence[LayerCut], achieved: float | None) -> Caution | None:
    """Say that a target is not reached, and lift the caps where layers stand at them."""
    if spec.sparsity is None or achieved is None or spec.sparsity - achieved <= SHORT:
        return None
    held = [cut.name for cut in cuts if spec.cap(cut.name) < 1 and cut.left - 1 < cut.of * (1 - spec.cap(cut.name))]
    choices = [Choice("Lift the caps", {"caps": (), "cap_all": None})] if held else []
    if near := float(np.floor(achieved * 1000) / 1000):
        choices.append(Choice(ordinary(f"Ask for {percent(near)}"), {"sparsity": near}))
    why = f": caps hold {', '.join(held[:NAMED])}" + (f" and {len(held) - NAMED} more" if len(held) > NAMED else "") if held else ""
    sentence = f"{asked(spec.sparsity)} were asked for and {percent(achieved)} can go{why}"
    return Caution("short", ordinary(sentence), tuple(choices))
