"""Tasks: what a model reads and answers, how that is judged, and in which unit. Nothing above knows more of it.

Names are resolved at first use: a task's name, unit and metrics need no torch.

Examples
--------
>>> from prunekit.tasks import task
>>> task("regression").headline.name
'r2'
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunekit.tasks.base import BaseTask
    from prunekit.tasks.batch import Batch, PerSample, collate
    from prunekit.tasks.batches import batches_of, length_of
    from prunekit.tasks.classification import Classification
    from prunekit.tasks.from_file import OwnTask, as_task, load_task
    from prunekit.tasks.language_modelling import LanguageModelling
    from prunekit.tasks.metrics import Metric, Proportion, mean_of, metric, proportion
    from prunekit.tasks.noted import note, told
    from prunekit.tasks.observations import Observations
    from prunekit.tasks.protocol import Task
    from prunekit.tasks.registry import DEFAULT, TASKS, register, task
    from prunekit.tasks.regression import Regression
    from prunekit.tasks.resolver import kind_of_targets, resolve

_HOME = {
    "batch": ("Batch", "PerSample", "collate"),
    "batches": ("batches_of", "length_of"),
    "classification": ("Classification",),
    "from_file": ("OwnTask", "as_task", "load_task"),
    "language_modelling": ("LanguageModelling",),
    "metrics": ("Metric", "Proportion", "mean_of", "metric", "proportion"),
    "observations": ("Observations",),
    "registry": ("DEFAULT", "TASKS", "register", "task"),
    "regression": ("Regression",),
    "resolver": ("kind_of_targets", "resolve"),
    "base": ("BaseTask",),
    "noted": ("note", "told"),
    "protocol": ("Task",),
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "DEFAULT",
    "TASKS",
    "BaseTask",
    "Batch",
    "Classification",
    "LanguageModelling",
    "Metric",
    "Observations",
    "OwnTask",
    "PerSample",
    "Proportion",
    "Regression",
    "Task",
    "as_task",
    "batches_of",
    "collate",
    "kind_of_targets",
    "length_of",
    "load_task",
    "mean_of",
    "metric",
    "note",
    "proportion",
    "register",
    "resolve",
    "task",
    "told",
]


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, once (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
