"""Candidates that users chose or not: their split, and a person's own table of them (``csv:PATH`` for a model that recommends)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prunekit.config.ids import DataId
from prunekit.data.dataset import Data, Picture, Split
from prunekit.data.stratified import Indices, mix
from prunekit.data.text import shared_out
from prunekit.errors import DataError
from prunekit.models.info import ModelInfo
from prunekit.tasks.batch import Batch
from prunekit.tasks.recommendation import LABEL, NEGATIVES, RECOMMENDATION, USER

if TYPE_CHECKING:
    import pandas as pd

Fields = Callable[[Mapping[str, Tensor]], Mapping[str, str]]
FEWEST = 10
TITLES = {"train": "training", "validation": "validation", "test": "test"}


@dataclass(frozen=True)
class Wording:
    """How people read a candidate, each from its inputs by name."""

    user: Fields  # user, candidate: what is known of the user, and of the candidate: fields with their values
    candidate: Fields
    called: Callable[[Mapping[str, Tensor]], str]  # what the candidate is called, in a few words


class InteractionSplit(Split):
    """Candidates in a fixed order: inputs by name, whether each was chosen, and whose candidate it is.

    ``inputs`` [n, ...]: ids in any type of whole numbers (the model gets int64), and floating features (float32), under the names of the
    model's arguments; ``chosen`` [n]: 1 or 0; ``users`` [n]: whose they are: intervals resample users.
    """

    task = RECOMMENDATION.name
    pictured = False
    negatives = 1.0  # how many times as many candidates that were not chosen were drawn for each chosen one as in what a model learns from

    def __init__(
        self, inputs: Mapping[str, Tensor], chosen: NDArray[Any], users: NDArray[np.int64], wording: Wording | None = None
    ) -> None:
        self.inputs, self.chosen, self.users = dict(inputs), np.asarray(chosen, dtype=np.float32), np.asarray(users, dtype=np.int64)
        self.wording = wording
        lengths = {*map(len, self.inputs.values()), len(self.chosen), len(self.users)}
        if len(lengths) != 1 or not self.inputs:
            raise DataError(f"candidates need inputs, a label and a user each, as many of all; got {', '.join(map(str, sorted(lengths)))}")

    def __len__(self) -> int:
        """Return the number of candidates."""
        return int(self.chosen.size)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return the inputs of one candidate, and its label and user."""
        place = np.array([range(len(self))[index]])  # negative indices count from the end; beyond it is an IndexError
        inputs, targets = ({name: each[0] for name, each in part.items()} for part in (self.images(place), self.targets_at(place)))
        return inputs, targets

    def images(self, indices: Indices) -> Any:
        """Return inputs by name: int64 and float32."""
        places = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        return {
            name: (rows := each[places]).to(torch.float32 if rows.is_floating_point() else torch.int64)
            for name, each in self.inputs.items()
        }

    def targets_at(self, indices: Indices) -> dict[str, Tensor]:
        """Return labels and users."""
        places = np.asarray(indices, dtype=np.int64)
        drawn = {} if self.negatives == 1 else {NEGATIVES: torch.full((len(places),), self.negatives)}
        return {LABEL: torch.from_numpy(self.chosen[places]), USER: torch.from_numpy(self.users[places]), **drawn}

    def batch_at(self, indices: Indices) -> Batch:
        """Return some candidates as a batch."""
        return Batch.of(self.images(indices), self.targets_at(indices), len(indices))

    def fields(self, i: int) -> dict[str, str]:
        """Return a candidate as people read it."""
        inputs = {name: each[0] for name, each in self.images(np.array([i])).items()}
        told = {name: ", ".join(f"{value:.4g}" for value in each.reshape(-1).tolist()) for name, each in inputs.items()}
        if self.wording:
            told = {**self.wording.user(inputs), **self.wording.candidate(inputs)}
        return told | {"chosen": "yes" if self.chosen[i] else "no"}

    def user_fields(self, places: Indices) -> dict[str, str]:
        """Return what people read of the user of some candidates, and how many of these were chosen."""
        first = {name: each[0] for name, each in self.images(places[:1]).items()}
        told = dict(self.wording.user(first)) if self.wording else {"user": str(int(self.users[places[0]]))}
        return told | {"candidates here": f"{len(places):,}, {int(self.chosen[places].sum()):,} of them chosen"}

    def picture(self, i: int) -> Picture:
        """Raise: a candidate has no picture."""
        raise DataError("a candidate has no picture: read it with fields()")

    def take(self, indices: Indices) -> InteractionSplit:
        """Return the candidates at ``indices``, in that order, as a split of its own."""
        places = np.asarray(indices, dtype=np.int64)
        rows = {name: each[torch.from_numpy(places)] for name, each in self.inputs.items()}
        part = InteractionSplit(rows, self.chosen[places], self.users[places], self.wording)
        part.code, part.guesses, part.classes, part.task = self.code, self.guesses, self.classes, self.task
        part.negatives = self.negatives
        return part

    def subset(self, n: int) -> InteractionSplit:
        """Return at most ``n`` candidates: all of some users, or the split itself."""
        if n < 1:
            raise DataError(f"a limit must be at least 1 candidate; got {n!r}")
        return self if n >= len(self) else self.take(self.choice(n))

    def choice(self, n: int) -> Indices:
        """Return which candidates `subset` chooses: all of as many users as fit, in a fixed order, for a part of one is easier to rank."""
        _, unit, sizes = np.unique(self.users, return_inverse=True, return_counts=True)
        order = np.argsort(mix(np.arange(len(sizes), dtype=np.uint64) + np.uint64(1)), kind="stable")
        fitting = order[sizes[order].cumsum() <= n]
        return np.flatnonzero(np.isin(unit, fitting)) if fitting.size else np.flatnonzero(unit == order[0])[:n]

    def fingerprint(self) -> str:
        """Return a sha256 over inputs, labels and users, in their order."""
        digest = hashlib.sha256(self.chosen.tobytes() + self.users.tobytes() + repr(self.negatives).encode())
        for name, each in self.inputs.items():
            digest.update(repr((name, tuple(each.shape), str(each.dtype))).encode())
            digest.update(each.contiguous().numpy().tobytes())
        digest.update(self.code.encode())
        return digest.hexdigest()

    def _identity(self) -> Iterator[bytes]:
        yield self.fingerprint().encode()


def interactions(data_id: DataId, parts: Mapping[str, InteractionSplit], said: str, note: str = "") -> Data:
    """Return parts as data, and say which users count for nothing where a figure is a mean over users."""
    if data_id.size or data_id.mean or data_id.std or data_id.classes:
        raise DataError(f"{data_id.name} holds ids and features that are ready for the model: leave size, mean, std and classes out")
    for name, part in parts.items():
        if len(part) and part.chosen.min() == part.chosen.max():
            where = f"the {len(part):,} candidates of the {TITLES[name]} part of {data_id.name}"
            which = "chosen" if part.chosen[0] else "not chosen"
            raise DataError(f"{where} are of one class only, {which}: AUC compares two, so add candidates of the other")
    test = parts["test"]
    users, unit = np.unique(test.users, return_inverse=True)
    without = len(users) - int((np.bincount(unit, weights=test.chosen) > 0).sum())
    if without:
        left = f"{without:,} of {len(users):,} users have chosen nothing in the test part: NDCG and recall leave them out."
        said = f"{said} {left}"
    return Data(data_id, test, parts.get("train"), parts.get("validation"), (), said, note, task=RECOMMENDATION.name)


def load_interactions(data_id: DataId, known: ModelInfo, frame: pd.DataFrame, name: str) -> Data:
    """Return a table with a candidate a row as data for a model that recommends.

    Columns hold labels (``label``), users (``user``) and times (none), unless ``data_id`` names others. Where the model's example is a
    mapping, its arguments are the columns of these names (of one with several features for each candidate ``NAME.0``, ``NAME.1``, ...);
    else all columns but label and time are. A fifth of the rows each is for validation and for the test: the last by time where times are
    named, else in a fixed random order.
    """
    label, user, when = data_id.label_column or LABEL, data_id.user_column or USER, data_id.time_column
    asked = {label: "--label-column", user: "--user-column", **({when: "--time-column"} if when else {})}
    for column, flag in asked.items():
        if column not in frame:
            raise DataError(f"{data_id.name} has no column {column!r}; it has {', '.join(frame.columns)}: say which with {flag}")
    chosen = _numbers(data_id, frame, label)
    wrong = chosen[(chosen != 0) & (chosen != 1)]
    if wrong.size:
        raise DataError(f"column {label!r} of {data_id.name} holds {wrong[0]:g}, and labels are 1 (chosen) or 0 (not)")
    example = known.example() if callable(known.example) else known.example
    wanted = example if isinstance(example, Mapping) else {each: None for each in frame.columns if each not in (label, when)}
    inputs = {each: _input(data_id, frame, each, shape) for each, shape in wanted.items()}
    users = np.unique(frame[user].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64)
    order = None if when is None else np.argsort(_numbers(data_id, frame, when), kind="stable")
    places = shared_out(len(frame)) if order is None else _by_time(order)
    whole = InteractionSplit(inputs, chosen, users)
    how = f"the last fifth by {when!r} for the test, that before for validation" if when else "a fifth each for validation and the test"
    said = f"{name}, {len(frame):,} candidates of {len(np.unique(users)):,} users, {how}."
    return interactions(data_id, {part: whole.take(rows) for part, rows in places.items()}, said)


def _by_time(order: Indices) -> dict[str, Indices]:
    """Return rows in the order of time as parts."""
    part = max(1, round(0.2 * len(order)))
    return {"train": order[: -2 * part], "validation": order[-2 * part : -part], "test": order[-part:]}


def _input(data_id: DataId, frame: pd.DataFrame, name: str, shape: Any) -> Tensor:
    """Return what the model gets under a name: a column, or all of ``NAME.0``, ``NAME.1``, ... side by side."""
    width = shape.shape[1] if isinstance(shape, Tensor) and shape.ndim == 2 and name not in frame else 0
    columns = [f"{name}.{k}" for k in range(width)] or [name]
    missing = next((each for each in columns if each not in frame), None)
    if missing is not None:
        raise DataError(f"{data_id.name} has no column {missing!r}, which the model takes; it has {', '.join(frame.columns)}: rename one")
    values = np.stack([_numbers(data_id, frame, each) for each in columns], 1)
    floating = (
        shape.is_floating_point()
        if isinstance(shape, Tensor)
        else bool((values % 1).any()) or frame[columns[0]].str.contains(".", regex=False).any()
    )
    if not floating and (values % 1).any():
        raise DataError(
            f"column {columns[0]!r} of {data_id.name} holds ids, which are whole numbers; it has {values[values % 1 != 0][0]:g}"
        )
    rows = torch.from_numpy(values.astype(np.float32 if floating else np.int64))
    return rows if width else rows[:, 0]


def _numbers(data_id: DataId, frame: pd.DataFrame, column: str) -> NDArray[np.float64]:
    """Return a column of numbers."""
    try:
        values: NDArray[np.float64] = frame[column].to_numpy(dtype=np.float64)
    except ValueError:
        cell = next(each for each in frame[column] if not each.replace(".", "", 1).lstrip("+-").isdecimal())
        what = f"the text {cell!r}: number what it holds" if cell.strip() else "an empty cell: fill it in, or leave that row out"
        raise DataError(f"column {column!r} of {data_id.name} holds {what}") from None
    if not np.isfinite(values).all():
        raise DataError(f"column {column!r} of {data_id.name} holds NaN or infinity: fill them in, or leave those rows out")
    return values
