"""Before and after, measured: what the command line prints, the folder holds and the screen shows."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from prunekit.anatomy import Counts
from prunekit.measure.accuracy import Accuracy, evaluate
from prunekit.measure.forward import Progress
from prunekit.measure.paired import Difference, compare
from prunekit.measure.sizes import Sizes, file_bytes, sizes
from prunekit.pruning.proof import zeroed
from prunekit.pruning.removal import Removal
from prunekit.pruning.result import PruneResult
from prunekit.pruning.surgery import by_tensor


@dataclass(frozen=True)
class Snapshot:
    """One model: its counts, sizes and, where there are data, its accuracy."""

    counts: Counts
    sizes: Sizes
    accuracy: Accuracy | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: ``accuracy``, ``params``, ``nonzero``, ``macs``, ``effective_macs``, ``sparsity``, ``sizes``."""
        counts = self.counts.to_dict()
        counts.pop("prunable")
        return {"accuracy": self.accuracy and self.accuracy.to_dict(), **counts, "sizes": self.sizes.to_dict()}


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
    baseline: Accuracy | None = None,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
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
        Whether to measure gzipped sizes (slow for large models).
    baseline : Accuracy, optional
        The dense model's, measured on the same samples before.
    progress, cancel
        As for :func:`prunekit.evaluate`.
    known : Sizes, optional
        The dense model's, measured before.

    Returns
    -------
    Assessment
        Every number measured, except MACs, which are counted.
    """

    def half(start: float) -> Progress | None:
        return None if progress is None else lambda share, text: progress(start + share / 2, text)

    dense, pruned = None, None
    if split is not None:
        dense = baseline or evaluate(model, split, progress=half(0.0), cancel=cancel)
        pruned = evaluate(result.model, split, progress=half(0.5), cancel=cancel)
    full = result.model if result.plan is None else widened(model, result.model, result.plan)
    after = sizes(full, surgery_bytes=file_bytes(result.model), gzip=gzip, cancel=cancel)
    return Assessment(
        Snapshot(result.before, known or sizes(model, gzip=gzip, cancel=cancel), dense),
        Snapshot(result.after, after, pruned),
        compare(dense, pruned) if dense is not None and pruned is not None else None,
    )


def widened(model: nn.Module, small: nn.Module, plan: Removal) -> nn.Module:
    """Return a smaller model in the dense shape, zeros for what went.

    Parameters
    ----------
    model, small : nn.Module
        The dense model, and what surgery made of it; recovery may have changed its weights since. Not modified.
    plan : Removal
        What went.
    """
    wide = zeroed(model, plan)
    keeps, values = by_tensor(plan.masks), dict((*small.named_parameters(), *small.named_buffers()))
    with torch.no_grad():
        for name, tensor in (*wide.named_parameters(), *wide.named_buffers()):
            if name not in values:
                continue  # its whole block went: zeros stand there
            mine = keeps.get(name, {})
            places = [torch.from_numpy(mine[k].nonzero()[0]) if k in mine else torch.arange(n) for k, n in enumerate(tensor.shape)]
            tensor[torch.meshgrid(*places, indexing="ij") if places else ...] = values[name]
    return wide


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
        Keys ``model``, ``data``, ``spec``, ``achieved``, ``before``, ``after``, ``difference``, ``blocks`` (those that went whole),
        ``layers``, ``proof``, ``limits``.
    """
    return {
        "model": model,
        "data": data,
        "spec": result.spec.to_dict(),
        "achieved": result.achieved.to_dict(),
        "before": assessment.before.to_dict(),
        "after": assessment.after.to_dict(),
        "difference": None if assessment.difference is None else asdict(assessment.difference),
        "blocks": [] if result.plan is None else list(result.plan.blocks),
        "layers": [layer.to_dict() for layer in result.layers],
        "proof": None if result.proof is None else result.proof.to_dict(),
        "limits": list(result.limits),
    }
