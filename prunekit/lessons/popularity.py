"""Lesson 12: prune a recommender, and see whose recommendations get worse."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.data.load import load_data
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.paired import compare, figures_by_group
from prunekit.evaluation.quality import DENSE, Evaluation
from prunekit.lessons.answer import Answer
from prunekit.lessons.lesson import lesson
from prunekit.lessons.settings import model_of, percent, small
from prunekit.models.shared_rows import table_of
from prunekit.pruning.api import prune
from prunekit.tasks.recommendation import AUC, GROUPS

MODEL, CANDIDATES, TABLES = "clicks_dlrm", 12_000, {"user": "tables.user", "item": "tables.item"}
"""How many candidates of the validation part are looked at, and the table that holds a row for each id."""

AFTER = "After"
LESSON = lesson("popularity")


@lru_cache(maxsize=1)
def ground() -> tuple[nn.Module, Data, Any, Evaluation, dict[str, NDArray[np.bool_]]]:
    """Return the dense model, the data, the candidates, what the model makes of them, and groups of them: shared, never written to."""
    model, data = model_of({"model": MODEL}), load_data("clicks")
    assert data.validation is not None
    part = data.validation.subset(CANDIDATES)
    dense = evaluate(model, part)
    assert dense.task is not None
    groups = dense.task.groups(part, data.train)[0]
    return model, data, part, dense, {name.partition(" (")[0]: places for name, places in groups.items()}


@lru_cache(maxsize=1)
def lookups() -> dict[str, NDArray[np.float64]]:
    """Return how often each user and each item is looked up in the training data."""
    model, data, *_ = ground()
    train: Any = data.train
    rows = {kind: table_of(model, table).weight.shape[0] for kind, table in TABLES.items()}
    return {kind: np.bincount(train.inputs[kind].numpy(), minlength=size).astype(np.float64) for kind, size in rows.items()}


def answer(share: int, how: str) -> Answer:
    """Take rows of the tables or single weights away, and measure the AUC of each group beside that of all."""
    model, data, part, dense, groups = ground()
    spec = PruneSpec(sparsity=share / 100) if how == "weights" else PruneSpec(mode="structured", sparsity=0.0, rows=share / 100)
    found = prune(model, spec, data=data)
    now = evaluate(found.model, part)
    frame = figures_by_group({DENSE: dense, AFTER: now}, groups, AUC)
    changes = frame[frame["letter"] != DENSE].set_index("name")
    worst, least = changes["change"].idxmin(), changes["change"].idxmax()
    whole, gone = compare(dense, now), _gone(found, groups, part)
    rows = {kind: (lookups()[kind], _stay(found, table)) for kind, table in TABLES.items()} if how == "rows" else {}
    frames = {"groups": frame.assign(gone=frame["name"].map(gone))}
    frames |= {kind: pd.DataFrame({"lookups": often, "keep": keep}) for kind, (often, keep) in rows.items()}
    numbers = {"dense": dense.value, "now": now.value, "change": whole.value, "candidates": dense.n, "share": share / 100}
    numbers |= {"worst": float(changes["change"][worst]), "least": float(changes["change"][least]), "gone": gone[worst]}
    first = f"Over all candidates AUC goes from {AUC.format(dense.value)} to {AUC.format(now.value)}, "
    first += f"{'a real difference' if whole.significant else 'not significant'} (p {small(whole.p_value)}); of {worst} it changes by "
    first += f"{AUC.format_difference(float(changes['change'][worst]))}, of {least} by "
    first += f"{AUC.format_difference(float(changes['change'][least]))}."
    settings = {"model": MODEL, "mode": spec.mode, "sparsity": spec.sparsity, "rows": spec.rows}
    shown = f"{worst} lose most, {AUC.format_difference(numbers['worst'])} in AUC"
    return Answer(worst.capitalize(), shown, (first, _why(how, gone, worst, changes)), frames, numbers, settings, LESSON.guess)


def _stay(found: Any, table: str) -> NDArray[np.bool_]:
    """Return which ids of a table keep a row of their own."""
    ids = table_of(found.model, table).num_embeddings
    kept = found.kept_rows.get(table)
    return np.ones(ids, dtype=np.bool_) if kept is None else np.isin(np.arange(ids), kept)


def _gone(found: Any, groups: dict[str, NDArray[np.bool_]], part: Any) -> dict[str, float]:
    """Return for each group what share of its rows, or of the weights in them, is gone."""
    lost: dict[str, float] = {}
    for kind, names in GROUPS.items():
        table, ids = TABLES[kind], part.inputs[kind].numpy()
        weights = table_of(found.model, table).weight.detach().numpy()
        each = (~_stay(found, table)).astype(np.float64) if table in found.kept_rows else (weights == 0).mean(1)
        lost |= {name: float(each[np.unique(ids[groups[name]])].mean()) for name in names if name in groups}
    return lost


def _why(how: str, gone: dict[str, float], worst: str, changes: pd.DataFrame) -> str:
    """Return what the group that pays most has lost, beside the others."""
    if how == "rows":
        least = changes["change"].idxmax()
        lost = f"{percent(gone[worst])} of {worst} and {percent(gone[least])} of {least} have lost their row and share one now"
        return f"{lost}: the figure over all hides who is told the same as everybody in that row."
    low, high = min(gone.values()), max(gone.values())
    told = int(changes["significant"].sum())
    spread = f"Small weights lie in the rows of all: {percent(low)} to {percent(high)} of them are zero, whatever the group"
    return f"{spread}, and {told} of {len(changes)} groups lose more than chance."
