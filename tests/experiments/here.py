"""A cluster whose workers are this process: what is asked for at once is carried out one after the other, the last first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

from prunekit.evaluation.progress import QUIET, Progress
from prunekit.experiments.cluster.worker import Call, Loaded


class Here:
    """So many workers; ``rounds`` holds how many calls came at a time."""

    def __init__(self, workers: int, model_id: Any, model: Any, data: Any) -> None:
        self.scheduler, self.rounds = SimpleNamespace(workers=[str(k) for k in range(workers)]), list[int]()
        self.loaded = Loaded(model_id, model, data)

    def results(self, calls: Sequence[Call], progress: Progress = QUIET, *, model: Any = None) -> Iterator[tuple[int, Any]]:
        """Yield the place of a call and its result."""
        self.rounds.append(len(calls))
        for place in reversed(range(len(calls))):
            yield place, calls[place].work(calls[place].request, self.loaded, QUIET, *calls[place].given)
            progress((len(calls) - place) / len(calls))
