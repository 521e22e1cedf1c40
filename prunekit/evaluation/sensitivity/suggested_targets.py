"""Targets for each layer, from what each layer costs when it is pruned alone.

What a total costs is estimated as the sum of what its parts cost alone: layers hurt each other, so that the true drop has to be measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from prunekit.errors import PrunekitError, one_of
from prunekit.evaluation.sensitivity.drop_curves import DropCurve, drop_curves
from prunekit.evaluation.sensitivity.layer_targets import Floats, Ints, least_for, most_within
from prunekit.evaluation.sensitivity.result import Sensitivity
from prunekit.formatting import asked, ordinary, percent
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.metrics import PERCENT, Metric
from prunekit.tasks.wording import costs, is_gain, loss_text, lost_or_gained

Counter = Callable[[Mapping[str, float]], tuple[float, float]]

STEP = 0.01  # between two measured sparsities a target may lie on this grid
TRIES = 14  # to meet a goal by count


@dataclass(frozen=True)
class LayerTarget:
    """What is suggested for one layer or group.

    Attributes
    ----------
    name : str
        The layer or group.
    sparsity : float
        Share of its weights or channels to remove; 0 leaves it whole.
    drop : float
        Accuracy that this costs when it is done alone, 0..1: estimated from the measured curve.
    measured : float or None
        Accuracy that was lost at this very sparsity, as it was measured; None where none was measured there.
    reason : str
        Why, in one sentence computed from its curve.
    """

    name: str
    sparsity: float
    drop: float
    measured: float | None
    reason: str

    @property
    def ahead(self) -> str:
        """The reason without what the target itself costs, for where that stands beside it."""
        return self.reason.rpartition("; ")[2]


@dataclass(frozen=True)
class Suggestion:
    """Targets for all layers."""

    targets: tuple[LayerTarget, ...]  # in order of definition
    drop: float  # sum of what each target costs alone, 0..1: estimated, not measured
    # params, macs: shares of the whole model that go: counted where ``counted`` says so, else the sum of what each target saves alone
    params: float
    macs: float
    counted: bool  # whether the two were counted on the combination of all targets
    images: int  # images that the curves were measured on, at most
    sentence: str  # all of it in plain words

    @property
    def overrides(self) -> dict[str, float]:
        """Sparsity by layer or group, those left whole included."""
        return {target.name: target.sparsity for target in self.targets}

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        targets = [asdict(target) for target in self.targets]
        shares = {"params": self.params, "macs": self.macs, "counted": self.counted}
        return {"targets": targets, "drop": self.drop, "tag": "estimated", **shares, "images": self.images, "sentence": self.sentence}


@dataclass(frozen=True, eq=False)
class _Options:
    """Sparsities that one layer may take, with what each costs and saves."""

    curve: DropCurve
    sparsities: Floats
    drops: Floats
    params: Floats
    macs: Floats

    @classmethod
    def of(cls, curve: DropCurve) -> _Options:
        """Return the measured sparsities and a grid of whole weights or channels between them; nothing beyond the last."""
        size = max(curve.size, 1)
        grid = np.round(np.arange(0, 1, STEP) * size) / size
        s = np.unique(np.concatenate([curve.sparsities, grid[grid < curve.sparsities[-1]]]))
        at = [np.interp(s, curve.sparsities, values) for values in (curve.drops, curve.params, curve.macs)]
        return cls(curve, s, *at)

    def gains(self, what: str) -> Floats:
        """Return what is saved, parameters or MACs."""
        return self.macs if what == "macs" else self.params


def suggest(
    found: Sensitivity,
    *,
    drop: float | None = None,
    params: float | None = None,
    macs: float | None = None,
    save: str = "params",
    totals: tuple[int, int],
    counter: Counter | None = None,
) -> Suggestion:
    """Suggest how much to take from each layer, from measured curves.

    ``drop``: allowed loss of the headline metric, in its own unit (of accuracy a fraction): as much as possible goes; ``save``: {"params",
    "macs"}: what goes as much as possible within an allowed drop.
    """
    given = {name: value for name, value in (("drop", drop), ("params", params), ("macs", macs)) if value is not None}
    if len(given) != 1:
        raise PrunekitError("give one of an allowed drop, a goal in parameters or a goal in MACs")
    one_of("save", save, ("params", "macs"))
    ((what, amount),) = given.items()
    fraction = what != "drop" or found.dense.metric.unit == PERCENT
    if amount < 0 or (fraction and amount >= 1) or (what != "drop" and amount == 0):
        raise PrunekitError(f"{what} must be a fraction, {'0 <=' if what == 'drop' else '0 <'} share < 1; got {amount!r}")
    options = [_Options.of(curve) for curve in drop_curves(found)]
    problem = _Problem(options, totals, counter, found.dense.metric, found.dense.units)
    picked = problem.within(amount, save) if what == "drop" else problem.for_goal(what, amount)
    return problem.suggestion(picked, found.images, early=bool(found.references))


@dataclass(frozen=True, eq=False)
class _Problem:
    """What can be chosen, and how it is counted."""

    options: Sequence[_Options]
    totals: tuple[int, int]
    counter: Counter | None
    metric: Metric = ACCURACY
    units: str = "images"

    def within(self, allowed: float, save: str) -> Ints:
        """Return the options that save most within an allowed drop."""
        return most_within([o.drops for o in self.options], [o.gains(save) for o in self.options], allowed)

    def for_goal(self, what: str, share: float) -> Ints:
        """Return the options that meet a goal at the least drop; by count, where savings do not add up."""
        everything = np.array([o.sparsities.size - 1 for o in self.options])
        reach = self.share(everything, what)
        if reach < share - 1e-9:
            word = "parameters" if what == "params" else "MACs"
            raise PrunekitError(
                f"within what was measured at most {ordinary(percent(reach))} of the {word} can go, and {ordinary(percent(share))} were "
                "asked for: lower the goal, or measure higher sparsities"
            )
        if self.counter is None:
            return self._least(what, share)
        return self._bisected(what, share)

    def _least(self, what: str, share: float) -> Ints:
        """Return the options that meet a goal at the least drop, where savings add up."""
        total = self.totals[0 if what == "params" else 1]
        return least_for([o.drops for o in self.options], [o.gains(what) for o in self.options], share * total)

    def _bisected(self, what: str, share: float) -> Ints:
        """Ask for more or less of what does not add up, until the count is right; of what is near enough the first that is met."""
        low, high = 0.0, sum(float(o.gains(what)[-1]) for o in self.options) / max(self.totals[0 if what == "params" else 1], 1)
        found: list[tuple[float, Ints]] = []
        for _ in range(TRIES):
            goal = (low + high) / 2
            picked = self._least(what, goal)
            reached = self.share(picked, what)
            found.append((reached - share, picked))
            low, high = (goal, high) if reached < share else (low, goal)
        met = [pair for pair in found if pair[0] >= 0] or [(0.0, np.array([o.sparsities.size - 1 for o in self.options]))]
        return self._given_back(min(met, key=lambda pair: pair[0])[1], what, share)

    def _given_back(self, picked: Ints, what: str, share: float) -> Ints:
        """Take steps back, the dearest first, while the goal is still met."""
        while True:
            steps = [picked - step for step in np.eye(picked.size, dtype=np.int64) if (picked >= step).all()]
            still = [step for step in steps if self.share(step, what) >= share]
            if not still:
                return picked
            picked = min(still, key=lambda step: (self._drop(step), self.share(step, what)))

    def _drop(self, picked: Ints) -> float:
        """Return the sum of what each layer costs alone."""
        return sum(float(o.drops[k]) for o, k in zip(self.options, picked, strict=True))

    def chosen(self, picked: Ints) -> dict[str, float]:
        """Return sparsities by name."""
        return {o.curve.name: float(o.sparsities[k]) for o, k in zip(self.options, picked, strict=True)}

    def saved(self, picked: Ints) -> tuple[float, float]:
        """Return parameters and MACs that go."""
        if self.counter is not None:
            return self.counter(self.chosen(picked))
        pairs = list(zip(self.options, picked.tolist(), strict=True))
        return float(sum(o.params[k] for o, k in pairs)), float(sum(o.macs[k] for o, k in pairs))

    def share(self, picked: Ints, what: str) -> float:
        """Return the share of the whole that goes."""
        place = 0 if what == "params" else 1
        return self.saved(picked)[place] / max(self.totals[place], 1)

    def suggestion(self, picked: Ints, images: int, early: bool = False) -> Suggestion:
        """Put it together, each target with its reason; ``early``: some points saw fewer images."""
        drops = [float(o.drops[k]) for o, k in zip(self.options, picked, strict=True)]
        shares = [float(o.sparsities[k]) for o, k in zip(self.options, picked, strict=True)]
        targets = tuple(
            LayerTarget(o.curve.name, s, d, measured_at(o.curve, s), reason(o.curve, s, d, self.metric))
            for o, s, d in zip(self.options, shares, drops, strict=True)
        )
        params, macs = (count / max(total, 1) for count, total in zip(self.saved(picked), self.totals, strict=True))
        saved = f"{ordinary(percent(params))} of the parameters and {ordinary(percent(macs))} of the MACs"
        sentence = (
            f"{saved} would go, for {loss_text(self.metric, sum(drops))} of {self.metric.phrase}: "
            f"estimated, as the sum of what each layer costs alone on "
            f"{'up to ' if early else ''}{images:,} {self.units}. Measure the whole before you rely on it"
        )
        return Suggestion(targets, sum(drops), params, macs, self.counter is not None, images, sentence)


def reason(curve: DropCurve, sparsity: float, drop: float, metric: Metric = ACCURACY) -> str:
    """Say in one sentence why a layer gets its target, from its curve."""
    beyond = np.flatnonzero(curve.sparsities > sparsity + 1e-9)
    told = _cost(curve, sparsity, drop, metric)
    if not beyond.size:
        return f"{told}; {ordinary(asked(sparsity))} is the most that was measured"
    following = float(curve.sparsities[int(beyond[0])])
    ahead = f"{ordinary(asked(following))} {_cost(curve, following, float(curve.drops[int(beyond[0])]), metric, would=True)}"
    return f"stays whole: {ahead}" if sparsity == 0 else f"{told}; {ahead}"


def measured_at(curve: DropCurve, sparsity: float) -> float | None:
    """Return what was measured at this very sparsity; None between measured points, and where nothing goes."""
    place = np.flatnonzero(np.isclose(curve.sparsities, sparsity, atol=1e-9))
    return float(curve.measured[place[0]]) if place.size and sparsity > 0 else None


def _cost(curve: DropCurve, sparsity: float, drop: float, metric: Metric, *, would: bool = False) -> str:
    """Return what is lost as it was measured, and as it counts where that is not the same."""
    measured = measured_at(curve, sparsity)
    if measured is None:
        return f"{'would cost' if would else 'costs'} about {loss_text(metric, drop)}, between measured ones"
    told, counted = costs(metric, measured, would=would), loss_text(metric, drop)
    if is_gain(metric, measured):
        return f"{told}, which counts as {lost_or_gained(metric, drop)}"
    return told if told == costs(metric, drop, would=would) else f"{told} as measured, {counted.removesuffix(' points')} as it counts"
