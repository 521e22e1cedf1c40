"""Runs as people list them: their best-founded accuracy, what is said of them, and forgetting one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prunekit.errors import StoreError
from prunekit.experiments.home import checkpoints, weights_folder
from prunekit.experiments.records import QUALITY, Label, Measurement, Run
from prunekit.experiments.store import RunStore
from prunekit.experiments.stored_metric import shown
from prunekit.formatting import ordinary, percent
from prunekit.models.drafts import OLD, draft
from prunekit.tasks.wording import written

ALL = 1_000_000
EARLIER = "measured by an earlier version"
"""What stands beside figures that cannot be vouched for."""


@dataclass(frozen=True)
class Listed:
    """A run in a list."""

    run: Run
    label: Label  # what people say of it
    accuracy: Measurement | None  # the one on test images, where there is one, and on most of them
    timed: int  # how many latencies are kept

    @property
    def earlier(self) -> bool:
        """Whether an earlier version made or measured it, and it cannot be vouched for what it was made of or measured on."""
        return self.run.earlier if self.accuracy is None else self.accuracy.earlier

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        plain = {name: getattr(self.run, name) for name in ("id", "kind", "title", "model", "parent", "created", "spec", "recovery")}
        counts = ("params", "nonzero", "macs", "effective_macs", "sparsity", "achieved", "bytes", "sizes")
        plain |= {name: self.run.info.get(name) for name in counts}
        seen = self.accuracy
        plain |= {"accuracy": None, "metric": None, "metrics": {}}
        if seen is not None and seen.metric is not None:
            told = {name: seen.value[name] for name in ("value", "low", "high", "n")} | {
                name: seen.metric[name] for name in ("unit", "better")
            }
            plain |= {"metric": seen.metric["name"], "metrics": {seen.metric["name"]: told}}
        if seen is not None:
            where = {"split": seen.split, "data": seen.data, "runtime": seen.runtime}
            plain |= {"accuracy": {**seen.value, **where}} if seen.what == QUALITY[0] else {"measured_on": where}
        plain |= {"earlier": self.earlier, "timed": self.timed}
        return {**plain, "name": self.label.name, "saved": self.label.saved, "tags": list(self.label.tags), "note": self.label.note}


def listed(store: RunStore, *, kind: str | None = None, tag: str | None = None, every: bool = False) -> list[Listed]:
    """Return runs, the latest first."""
    labels, seen, passing = store.labels(), store.all_measurements(), set() if every else in_passing(store)
    found = []
    for run in store.runs(kind=kind, limit=ALL):
        label = labels.get(run.id, Label(run.id))
        if run.id not in passing and (tag is None or tag in label.tags):
            mine = seen.get(run.id, [])
            found.append(Listed(run, label, best_accuracy(mine), sum(m.what == "latency" for m in mine)))
    return found


def best_accuracy(seen: list[Measurement]) -> Measurement | None:
    """Return the accuracy that can be vouched for, on test images and on most of them, where there is one; of equal ones the first."""
    found = [m for m in seen if m.what in QUALITY]
    return max(found, key=lambda m: (not m.earlier, m.split == "test", m.n), default=None)


def value_of(seen: Measurement) -> str:
    """Return the quality that was measured as people read it: of all but accuracy with the metric's name."""
    if seen.what == QUALITY[0] or seen.metric is None:
        return ordinary(percent(seen.value["value"]))
    metric = shown(seen.metric, "")
    return f"{metric.phrase} {ordinary(written(metric, seen.value['value']))}"


def zero_or_gone(info: Mapping[str, Any], dense: Mapping[str, Any]) -> float | None:
    """Return the share of the dense model's prunable weights that are zero or gone; None where that is not known."""
    whole, left, zeros = dense.get("prunable"), info.get("prunable"), info.get("sparsity")
    return None if not whole or left is None or zeros is None else 1 - left * (1 - float(zeros)) / whole


def in_passing(store: RunStore) -> set[str]:
    """Return the ids of runs that arose on the way to something else, such as the points of a curve.

    Those are pruned, or recovered without their weights being kept; nobody saved, tagged or noted them, nothing was made from them, and
    their latency was never measured.
    """
    runs, said, timed = store.runs(limit=ALL), store.labels(), store.all_measurements("latency")
    parents = {run.parent for run in runs}
    bare = [run for run in runs if run.kind == "pruned" or (run.kind == "recovered" and "file" not in run.info)]
    return {run.id for run in bare if run.id not in parents | timed.keys() and not said.get(run.id, Label(run.id)).said}


def forget(store: RunStore, run: str) -> Run:
    """Remove a run, what was seen of it, what people say of it, and the files that were kept of it.

    The files are moved aside first and removed once the store has forgotten the run; where it cannot, they are put back.
    """
    known = store.find(run)
    children = store.runs(parent=known.id)
    if children:
        raise StoreError(_refusal(known, children))
    with _aside(files_of(known)):
        store.forget(known.id)
    return known


def files_of(run: Run) -> list[Path]:
    """Return what lies in the folder of runs because of this one, as far as it is there."""
    folder, name = weights_folder(run.id), str(run.info.get("file", ""))
    file = checkpoints() / name
    places = [folder] if folder.is_dir() else []
    return [*places, file] if run.kind == "trained" and name == Path(name).name and file.is_file() else places


def _refusal(run: Run, children: list[Run]) -> str:
    """Say which runs are in the way."""
    named = ", ".join(f"{child.id[:12]} ({child.title})" for child in children[:5])
    more = f" and {len(children) - 5} more" if len(children) > 5 else ""
    return (
        f"run {run.id[:12]} ({run.title}) stays: {named}{more} {'was' if len(children) == 1 else 'were'} made from it. Delete those first"
    )


@contextmanager
def _aside(places: list[Path]) -> Iterator[None]:
    """Have files out of the way, for good unless something goes wrong."""
    with ExitStack() as stack:
        moved: list[tuple[Path, Path]] = []
        try:
            for place in places:
                moved.append((place, _put_aside(place, stack)))
            yield
        except BaseException:
            for place, there in moved:
                there.replace(place)
            raise


def _put_aside(place: Path, stack: ExitStack) -> Path:
    """Move a file or folder to where it comes back from should this process be killed."""
    try:
        return place.rename(stack.enter_context(draft(place)) / OLD)
    except OSError as error:
        raise StoreError(f"{place} cannot be removed ({error.strerror or error}): make its folder writable, and try again") from error
