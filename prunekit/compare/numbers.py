"""`compare_runs`: from ids of runs to the comparison, out of what the store holds; nothing is measured here."""

from __future__ import annotations

from collections.abc import Sequence

from prunekit.catalog.ids import DataId
from prunekit.compare.columns import Comparison
from prunekit.runs.store import RunStore


def compare_runs(run_ids: Sequence[str], store: RunStore, *, data: DataId | str | None = None, split: str = "test") -> Comparison:
    """Put two to six runs of one dense model side by side, from what was measured so far.

    Accuracy is taken on the same images for all: the data on which most of them were measured, and the most images among equals.

    Parameters
    ----------
    run_ids : sequence of str
        Ids, or prefixes of at least six digits; the dense model's own run stands as the baseline, picked or not.
    store : RunStore
        Where they are kept.
    data : DataId or str, optional
        Only measurements on these data (a name: whatever their limit and size).
    split : {"test", "validation", "train"}
        Which part of them.

    Returns
    -------
    Comparison

    Raises
    ------
    PrunekitError
        If fewer than two or more than six runs are given, or they were made from different dense models.
    StoreError
        If a run is not known.
    """
    raise NotImplementedError
