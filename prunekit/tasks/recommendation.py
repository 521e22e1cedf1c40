"""Recommendation: how much each user wants each candidate, judged by AUC, by calibrated probabilities and by each user's best ten."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import DataError, ModelError
from prunekit.statistics.bootstrap import ByUnit, Sums
from prunekit.statistics.ranking import auc_by_unit, top_k
from prunekit.tasks.base import BaseTask
from prunekit.tasks.faults import check_finite
from prunekit.tasks.metrics import LOWER, PERCENT, Metric
from prunekit.tasks.observations import Observations
from prunekit.tasks.shown import Ranking, Reader, Shown

if TYPE_CHECKING:
    from torch import Tensor

    from prunekit.tasks.batch import Batch

LABEL, USER, ITEM, NEGATIVES = "label", "user", "item", "negatives"
NAMES = ("logits", "logit", "score", "scores", "out", "output")
K, FIRST = 10, 5
GROUPS = {USER: ("new users", "middling users", "heavy users"), ITEM: ("rare items", "middling items", "popular items")}
ROWS = 8192  # samples whose ids are read at a time
Floats = NDArray[np.float64]


def _probability(seen: Observations) -> Floats:
    """Return how likely each candidate is chosen, as the model says."""
    return np.exp(-np.logaddexp(0, -seen["score"]))


def _places(seen: Observations) -> Floats:
    """Return each candidate's place among those of its user, from 1."""
    unit = np.zeros(seen.n, dtype=np.int64) if seen.groups is None else np.unique(seen.groups, return_inverse=True)[1]
    order, sizes, place = np.lexsort((-seen["score"], unit)), np.bincount(unit), np.empty(seen.n)
    place[order] = np.arange(seen.n) - np.repeat(sizes.cumsum() - sizes, sizes) + 1
    return place


def _thirds(here: NDArray[np.int64], learnt: NDArray[np.int64], names: tuple[str, str, str]) -> dict[str, NDArray[np.bool_]]:
    """Return the samples of each third of the ids, by how often an id is among those learnt from; equal ones fall into one third."""
    ids, place = np.unique(here, return_inverse=True)
    known, times = np.unique(learnt, return_counts=True)
    at = np.searchsorted(known, ids).clip(0, len(known) - 1)
    often = np.where(known[at] == ids, times[at], 0)
    low, high = (int(often[order]) for order in np.argsort(often, kind="stable")[[(len(ids) - 1) // 3, 2 * (len(ids) - 1) // 3]])
    cuts = {f"{names[0]} (≤ {low:,})": often <= low, f"{names[1]} (≤ {high:,})": (often > low) & (often <= high)}
    thirds = cuts | {f"{names[2]} (> {high:,})": often > high}
    return {name: chosen[place] for name, chosen in thirds.items() if chosen.any()}


def _log_losses(seen: Observations) -> Floats:
    """Return the negative log-likelihood of each label."""
    return np.logaddexp(0, seen["score"]) - seen[LABEL] * seen["score"]


def _entropy(seen: Observations) -> float:
    """Return the log-loss of whoever gives each candidate the share of those that are chosen."""
    share = float(seen[LABEL].mean())
    return -sum(part * float(np.log(part)) for part in (share, 1 - share) if part)


def _by_user(place: int) -> Any:
    """Return what the mean over users who chose something sums, a row for each user: the NDCG (0) or the recall (1) of their best ten."""

    def features(seen: Observations) -> Floats:
        groups = np.arange(seen.n) if seen.groups is None else seen.groups
        found = top_k(seen["score"], seen[LABEL], groups, K)
        there = found[2] > 0
        return np.column_stack([found[place] * there, there])

    return features


def _mean(sums: Floats) -> Any:
    """Return the mean of those that count; NaN where none does."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)


def _unranked(place: int) -> Any:
    """Return what is expected of candidates in a random order."""
    return lambda seen: float(Sums(_by_user(place), _mean)(Observations.of(score=0 * seen[LABEL], label=seen[LABEL], groups=seen.groups)))


AUC = Metric(
    "auc",
    "AUC",
    ByUnit(lambda seen, unit: auc_by_unit(seen["score"], seen[LABEL], unit)),
    chance=lambda seen: 0.5,
    decimals=4,
    needs="it compares candidates that were chosen with others, and all of these are of one class",
)
LOG_LOSS = Metric(
    "log_loss",
    "Log-loss",
    Sums(lambda seen: np.column_stack([_log_losses(seen), np.ones(seen.n)]), _mean),
    better=LOWER,
    chance=_entropy,
    decimals=4,
)
CALIBRATION = Metric(
    "calibration_error",
    "Calibration error",
    Sums(lambda seen: np.column_stack([_probability(seen), seen[LABEL]]), lambda sums: np.abs(_mean(sums) - 1)),
    PERCENT,
    LOWER,
    needs="none of these candidates was chosen",
)
"""How far the mean of what is predicted, divided by the mean of what is observed, is from 1."""
UNCHOSEN = "no user here has chosen anything; users without positives are left out"
NDCG = Metric("ndcg_10", f"NDCG@{K}", Sums(_by_user(0), _mean), chance=_unranked(0), decimals=4, needs=UNCHOSEN)
RECALL = Metric("recall_10", f"Recall@{K}", Sums(_by_user(1), _mean), PERCENT, chance=_unranked(1), needs=UNCHOSEN)


@dataclass(frozen=True)
class Recommendation(BaseTask):
    """How much a user wants a candidate.

    The model gives one logit for each sample, [N] or [N, 1]. Targets are a mapping of ``label`` [N], 1 where the candidate was chosen and 0
    where it was not, and ``user`` [N], whole numbers, by which intervals resample; or labels alone, and the users are the inputs called
    ``user``, if there are any. ``negatives`` [N] may say how many times as many candidates that were not chosen were drawn for each chosen
    one as in the data that a model learns from: logits are less its logarithm (He et al., 2014, section 6.3). NDCG@10 and recall@10 are
    means over users who have chosen something.
    """

    given_as = "csv:PATH"

    def loss(self, output: Any, batch: Batch) -> Tensor:
        """Return the binary cross-entropy, the mean over samples."""
        from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

        logits, labels = self._pair(output, batch)
        return functional.binary_cross_entropy_with_logits(logits, labels)

    def terms(self, batch: Batch) -> int:
        """Return how many terms the loss is the mean of: one for each sample."""
        return batch.samples

    def distance(self, output: Any, teacher: Any, batch: Batch, temperature: float = 1.0) -> Tensor:
        """Return the Kullback-Leibler divergence from the teacher's softened probabilities, the mean, times temperature squared."""
        from torch.nn import functional  # noqa: PLC0415 (a task's name and metrics need no torch)

        own, theirs = (self._logits(each, batch) / temperature for each in (output, teacher))
        theirs = theirs.to(own.dtype)
        soft = theirs.sigmoid()
        cross, entropy = (functional.binary_cross_entropy_with_logits(each, soft) for each in (own, theirs))
        return (cross - entropy) * temperature**2

    def observe(self, output: Any, batch: Batch) -> Observations:
        """Return the columns ``score`` (the logit) and ``label``, grouped by users where there are any."""
        logits, labels = self._pair(output, batch)
        check_finite(logits)
        return Observations.of(score=logits, label=labels, groups=self._users(batch))

    def readable(self, seen: Observations) -> Observations:
        """Return each candidate's probability, and its place among those of its user."""
        of_user = {} if seen.groups is None else {"place": _places(seen)}
        return Observations.of(probability=_probability(seen), label=seen[LABEL], **of_user, groups=seen.groups)

    @property
    def answered(self) -> tuple[str, str]:
        """A user, whose candidates are ordered."""
        return USER, f"{USER}s"

    def changes(self, before: Observations, after: Observations) -> tuple[dict[str, NDArray[Any]], str] | None:
        """Return for each user how many of the first five stay, the best place of what was chosen, and how far the fives are apart.

        That is one less their average overlap (Fagin et al., 2003): of the first candidate, of the first two, ..., of the first five.
        """
        if before.groups is None:
            return None
        users, unit = np.unique(before.groups, return_inverse=True)
        (a, b), sizes = (_places(seen) for seen in (before, after)), np.bincount(unit)
        both = [np.bincount(unit, weights=np.maximum(a, b) <= depth) / np.minimum(sizes, depth) for depth in range(1, FIRST + 1)]
        best = [np.full(len(users), np.inf) for _ in range(2)]
        chosen = before[LABEL] > 0
        for found, place in zip(best, (a, b), strict=True):
            np.minimum.at(found, unit[chosen], place[chosen])
        dense, run = (np.where(np.isfinite(found), found, np.nan) for found in best)
        of_five = f"of the first {FIRST} that stay"
        columns = {"candidates": sizes, of_five: np.round(both[-1] * np.minimum(sizes, FIRST)).astype(np.int64)}
        columns |= {"best place of what was chosen, dense": dense, "best place of what was chosen, run": run}
        return {**columns, "change": 1 - np.mean(both, axis=0)}, "of 1, at which no two of the first five places share a candidate"

    def groups(self, part: Any, train: Any) -> tuple[Mapping[str, NDArray[np.bool_]], tuple[Metric, ...]]:
        """Return users in thirds by their rows in the training data, and items likewise where the inputs say which (``item``)."""
        from prunekit.tasks.batches import batches_of  # noqa: PLC0415 (a task's name and metrics need no torch)

        def ids(split: Any) -> dict[str, NDArray[np.int64]]:
            known = [(self._users(batch), batch.kwargs.get(ITEM)) for batch in batches_of(split, ROWS)]
            return {
                name: np.concatenate([each.detach().cpu().numpy() for each in column])
                for name, column in zip((USER, ITEM), zip(*known, strict=True), strict=True)
                if all(each is not None and each.ndim == 1 for each in column)
            }

        if train is None:
            return {}, ()
        here, learnt, found = ids(part), ids(train), dict[str, NDArray[np.bool_]]()
        for kind, names in GROUPS.items():
            if kind in here and kind in learnt:
                found |= _thirds(here[kind], learnt[kind], names)
        return found, (AUC, NDCG)

    def places(self, split: Any, number: int) -> NDArray[np.int64]:
        """Return all candidates of a user, where the split says whose they are."""
        if not hasattr(split, "users"):
            return super().places(split, number)
        users = np.unique(split.users)
        return np.flatnonzero(split.users == users[min(number, len(users) - 1)])

    def shown(self, split: Any, number: int, names: Any = ()) -> Shown | None:
        """Return what is known of a user, where the split says it in fields."""
        if not hasattr(split, "user_fields"):
            return super().shown(split, number, names)
        return Shown(fields=split.user_fields(self.places(split, number)))

    def answer(self, output: Any, batch: Batch, reader: Reader) -> Ranking:
        """Return the order of a user's candidates."""
        logits, labels = self._pair(output, batch)
        inputs = dict(batch.named_tensors())
        called = [
            f"candidate {k + 1}" if reader.called is None else reader.called({name: each[k] for name, each in inputs.items()})
            for k in range(batch.samples)
        ]
        return Ranking("Top five", logits.detach().double().sigmoid().cpu().numpy(), labels.cpu().numpy() > 0, tuple(called), FIRST)

    def _logits(self, output: Any, batch: Batch) -> Tensor:
        """Return the logits [n] among an output, corrected for how candidates were drawn."""
        named, n = self.tensors(output), batch.samples
        fitting = {name: each for name, each in named.items() if each.is_floating_point() and each.ndim and each.numel() == n == len(each)}
        known = [name for name in NAMES if name in fitting]
        if len(fitting) != 1 and len(known) != 1:
            listed = "; ".join(f"{name} {list(each.shape)}" for name, each in named.items()) or "no tensor"
            problem = "several that may be meant" if fitting else "none of that shape"
            raise ModelError(f"the model must return a logit for each sample, [{n}] or [{n}, 1], and returns {problem}: {listed}")
        logits = fitting[known[0] if len(fitting) > 1 else next(iter(fitting))].reshape(n)
        logits = logits.float() if logits.itemsize < 4 else logits  # halves would round the loss away
        drawn = batch.targets.get(NEGATIVES) if isinstance(batch.targets, Mapping) else None
        return logits if drawn is None else logits - drawn.reshape(n).to(logits.device, logits.dtype).log()

    def _pair(self, output: Any, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return logits and labels [n], checked."""
        n, labels = batch.samples, batch.targets[LABEL] if isinstance(batch.targets, Mapping) and LABEL in batch.targets else batch.targets
        if not hasattr(labels, "numel") or labels.numel() != n or labels.is_complex():
            got = f"{labels.dtype} of shape {list(labels.shape)}" if hasattr(labels, "dtype") else type(labels).__name__
            raise DataError(f"need a label for each of {self.count(n)}, 1 where it was chosen and 0 where it was not; got {got}")
        wrong = labels[(labels != 0) & (labels != 1)]
        if wrong.numel():
            raise DataError(
                f"a candidate has the label {wrong.reshape(-1)[0].item():g}, and labels are 1 (chosen) or 0 (not): make ratings such, by "
                "a lowest one that counts as chosen"
            )
        logits = self._logits(output, batch)
        return logits, labels.reshape(n).to(logits.device, logits.dtype)

    def _users(self, batch: Batch) -> Any:
        """Return the number of each sample's user; None where nobody says."""
        users = batch.targets.get(USER) if isinstance(batch.targets, Mapping) else batch.kwargs.get(USER)
        if users is None:
            return None
        if not hasattr(users, "numel") or users.numel() != batch.samples or users.is_floating_point():
            got = f"{users.dtype} of shape {list(users.shape)}" if hasattr(users, "dtype") else type(users).__name__
            raise DataError(f"need the number of a user for each of {self.count(batch.samples)}; got {got}")
        return users.reshape(batch.samples)


RECOMMENDATION = Recommendation("recommendation", "recommendation", (AUC, LOG_LOSS, CALIBRATION, NDCG, RECALL), "candidate", "candidates")
