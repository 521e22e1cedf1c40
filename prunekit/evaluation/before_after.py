"""Before and after, measured: what the command line prints, the folder holds and the screen shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.file_layout import widened
from prunekit.evaluation.paired import Difference, compare
from prunekit.evaluation.progress import QUIET, Progress
from prunekit.evaluation.quality import Evaluation, quality_document
from prunekit.evaluation.sizes import Sizes, sizes
from prunekit.models.cost import Counts
from prunekit.pruning.result import PruneResult


@dataclass(frozen=True)
class Snapshot:
    """One model: its counts, sizes and, where there are data, its quality."""

    counts: Counts
    sizes: Sizes
    accuracy: Evaluation | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: ``metric``, ``metrics``, ``accuracy``, the counts and ``sizes``."""
        counts = self.counts.to_dict()
        counts.pop("prunable")
        return {**quality_document(self.accuracy), **counts, "sizes": self.sizes.to_dict()}


@dataclass(frozen=True)
class Assessment:
    """The dense and the pruned model side by side.

    Attributes
    ----------
    before, after : Snapshot
        Dense and pruned.
    difference : Difference or None
        Of the accuracies, paired on the same samples; None without data.
    """

    before: Snapshot
    after: Snapshot
    difference: Difference | None


def assess(
    model: nn.Module,
    result: PruneResult,
    split: Any = None,
    *,
    gzip: bool = True,
    exact: bool = False,
    baseline: Evaluation | None = None,
    progress: Progress = QUIET,
    known: Sizes | None = None,
) -> Assessment:
    """Measure a pruned model against the dense one.

    Parameters
    ----------
    model : nn.Module
        The dense model.
    result : PruneResult
        Of :func:`prunekit.prune` on it.
    split : Split, optional
        Samples to measure accuracy on; none are measured without.
    gzip : bool
        Whether to tell gzipped sizes.
    exact : bool
        Compress files of more than 64 MB whole too; their gzipped sizes are estimated from a sample of blocks otherwise.
    baseline : Accuracy, optional
        The dense model's, measured on the same samples before.
    progress
        As for :func:`prunekit.evaluate`.
    known : Sizes, optional
        The dense model's, measured before.

    Returns
    -------
    Assessment
        Every number measured, except MACs, which are counted, and gzipped sizes of large files, which are estimated.
    """
    dense, pruned = None, None
    if split is not None:
        dense = baseline or evaluate(model, split, progress=progress.step(0, 2))
        pruned = evaluate(result.model, split, progress=progress.step(1, 2))
    wide = None if result.plan is None or result.spec.soft else widened(model, result.model, result.plan)
    after = sizes(result.model, zeroed=wide, gzip=gzip, exact=exact, progress=progress)
    return Assessment(
        Snapshot(result.before, known or sizes(model, gzip=gzip, exact=exact, progress=progress), dense),
        Snapshot(result.after, after, pruned),
        compare(dense, pruned) if dense is not None and pruned is not None else None,
    )


def document(result: PruneResult, assessment: Assessment, model: Mapping[str, Any] | str, data: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the JSON of one pruning: `prunekit prune --json` prints it and `result.json` holds it.

    Parameters
    ----------
    result : PruneResult
        What was made.
    assessment : Assessment
        What was measured.
    model, data : mapping, str or None
        Plain fields of their identities.

    Returns
    -------
    dict
        Keys ``model``, ``data``, ``spec``, ``achieved`` (with ``of_all``, the share of all parameters that are zero or gone), ``before``,
        ``after``, ``difference``, ``blocks`` (those that went whole), ``layers``, ``skipped`` (modules that took no part: ``name``,
        ``type``, ``parameters``, ``reason``), ``proof``, ``limits``.
    """
    return {
        "model": model,
        "data": data,
        "spec": result.spec.to_dict(),
        "achieved": {**result.achieved.to_dict(), "of_all": result.of_all},
        "before": assessment.before.to_dict(),
        "after": assessment.after.to_dict(),
        "difference": None if assessment.difference is None else assessment.difference.to_dict(),
        "blocks": [] if result.plan is None else list(result.plan.blocks),
        "layers": [layer.to_dict() for layer in result.layers],
        "skipped": [module.to_dict() for module in result.skipped],
        "proof": None if result.proof is None else result.proof.to_dict(),
        "limits": list(result.limits),
    }
