"""The first looks of a search: one way ever smaller until it falls, all ways at that size; the best of them until its edge is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, log, sqrt

from prunekit.experiments.search.request import Trial

FIRST, FIRST_UNTUNED, LEAST = 0.1, 0.5, 0.002  # the first size with and without tuning, and the smallest
EDGE = 1.03  # held by fallen size at which the edge is known
FAR, HOPELESS = 20, 10  # so many allowed losses: all ways look alike there; all epochs will not do, either
MEASURED = "measured"  # shares from sensitivity
DEAR = 1 / 6  # the share of the time that is left for a look of a round, by how many it has with it


@dataclass(frozen=True)
class Look:
    """A way to make a model small, and how small."""

    way: str  # a scope, or MEASURED
    criterion: str
    optimizer: str
    epochs: int
    size: float  # share of the dense model that is left


Seen = Mapping[Look, Trial | None]  # what a look found; None while it is out


@dataclass(frozen=True)
class Race:
    """Ways that start together: at one size the one that loses least goes on.

    Losses at one size can be compared, so that a few short looks choose among ways; most of the time is for the edge of the best one.
    """

    ways: Sequence[str]
    criteria: Sequence[str]
    optimizers: Sequence[str]
    epochs: Sequence[int]  # of a first look, and how many more there may be at the edge
    allowed: float  # loss

    def following(self, seen: Seen, left: float = inf, held: float = 1.0) -> Look | None:
        """Return the next look; None where another must end first, or the edge is known. ``left``: seconds; ``held``: a size."""
        first_size = FIRST if self.epochs[0] else FIRST_UNTUNED
        best = Look(self.ways[0], self.criteria[0], self.optimizers[0], self.epochs[0], first_size)
        # what tunes first: while all are far from holding, ways cannot be told apart
        rounds: tuple[Callable[[Look], list[Look]], ...] = (
            lambda look: [replace(look, optimizer=each) for each in self.optimizers],
            lambda look: [replace(look, way=each) for each in self.ways],
            lambda look: [replace(look, criterion=each) for each in self.criteria],
        )
        far: list[Look] = []
        for others in rounds:
            while _holds(seen, best) and (smaller := best.size * sqrt(first_size)) >= LEAST:
                best = replace(best, size=round(smaller, 4))
            if (first := seen.get(best)) is None:
                return None if best in seen else best
            looks = others(best)
            new = [look for look in looks if look not in seen]
            if new and first.seconds * (len(looks) - len(new) + 1) <= left * DEAR:
                return new[0]
            if any(seen.get(look, first) is None for look in looks):
                return None
            best = min((look for look in looks if look in seen), key=lambda look: _rank(seen[look]))
            if best.size == first_size and MEASURED in self.ways and self._loses(seen[best], FAR):
                # all are far from holding: nearer to the dense model sensitivity knows most
                far, best = [best], replace(best, way=MEASURED, criterion=self.criteria[0], optimizer=self.optimizers[0])
                break
        # as long as the time lets it be tuned
        edges = [self._at_the_edge(seen, best, epochs, far, held) for epochs in sorted(self.epochs, reverse=True)]
        return next((look for look in edges if look is None or _seconds(seen, look) <= left), edges[-1])

    def _loses(self, trial: Trial | None, times: float) -> bool:
        """Whether a look came to an end and loses so many times what is allowed, or could not be made."""
        return trial is not None and (trial.loss is None or trial.loss > times * max(self.allowed, 0.001))

    def _share(self, fell: Trial | None) -> float:
        """Return how far the first step goes from what holds: half the way; less, the more was lost too much."""
        loss = 0.0 if fell is None or fell.loss is None else fell.loss
        return max(sqrt(self.allowed / loss / 2), 0.1) if loss > HOPELESS * self.allowed else 0.5

    def _at_the_edge(self, seen: Seen, best: Look, epochs: int, far: Sequence[Look], held: float) -> Look | None:
        """Return the look between what holds and what fell though tuned as long, or ``far`` from holding; nearer to what holds then."""
        same = [look for look in seen if replace(look, size=best.size, epochs=best.epochs) == best]
        tuned = [look for look in same if look.epochs >= epochs]
        if any(seen[look] is None for look in tuned):
            return None
        held = min(held, *(look.size for look in seen if _holds(seen, look)), 1.0)
        hopeless = [*far, *(look for look in same if look.epochs < epochs and self._loses(seen[look], HOPELESS))]
        for known in ([*tuned, *hopeless], tuned):  # in the end what was hopeless is tuned as long, too
            fallen = [look for look in known if look.size < held and not _holds(seen, look)]
            if not fallen:
                size = best.size if best.size < held else max(held / 2, LEAST)
            else:
                fell = max(fallen, key=lambda look: look.size)
                if held / fell.size < EDGE:
                    continue
                size = _between(held, fell.size, 0.5 if any(_holds(seen, look) for look in tuned) else self._share(seen[fell]))
            look = replace(best, epochs=epochs, size=round(size, 4))
            if size < held and look not in seen:
                return look
        return None


def _between(held: float, fell: float, share: float) -> float:
    """Return a size so much of the way from one that holds to one that fell, in logarithms."""
    return float(held * (fell / held) ** share)


def _seconds(seen: Seen, look: Look) -> float:
    """Estimate what a look takes by the one that is nearest in size."""
    known = [(each, trial.seconds) for each, trial in seen.items() if trial is not None]
    near, seconds = min(known, key=lambda one: abs(log(one[0].size / look.size)))
    return seconds * max(look.epochs, 1) / max(near.epochs, 1)


def _holds(seen: Seen, look: Look) -> bool:
    """Whether a look came to an end and holds."""
    trial = seen.get(look)
    return trial is not None and trial.state == "holds"


def _rank(trial: Trial | None) -> tuple[bool, float]:
    """Order looks of one size: first what holds, then what loses least."""
    return (True, inf) if trial is None or trial.loss is None else (trial.state != "holds", trial.loss)
