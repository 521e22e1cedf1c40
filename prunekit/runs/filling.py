"""Measuring what is missing: accuracy of some runs on the same images, and their sizes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from prunekit.catalog.ids import DataId
from prunekit.measure.forward import Progress
from prunekit.runs.bench import Warn
from prunekit.runs.store import RunStore


def fill(
    run_ids: Sequence[str],
    data_id: DataId,
    split: str,
    store: RunStore,
    *,
    sizes: bool = True,
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
    warn: Warn | None = None,
) -> None:
    """Measure the accuracy on a whole split of those runs that lack it, and the sizes of those that lack them.

    Parameters
    ----------
    run_ids : sequence of str
        Ids of runs. One that is gone is skipped, with a warning.
    data_id : DataId
        The data.
    split : {"train", "validation", "test"}
        Which part of them.
    store : RunStore
        Where runs are and where what was seen is kept: accuracies as measurements, sizes in ``run.info["sizes"]``, as
        :meth:`prunekit.measure.Sizes.to_dict` gives them. A size that cannot be told is None.
    sizes : bool
        Whether to measure sizes too.
    progress, cancel, warn
        As for :func:`prunekit.runs.carry_out`.

    Raises
    ------
    StoreError
        If the store cannot be read or written.
    DataError
        If there are no such data.
    Cancelled
        If ``cancel`` was set; what was measured before is kept.
    """
    raise NotImplementedError
