"""Forgetting a run: its row, what was seen of it, and its files, together or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from prunekit.errors import StoreError
from prunekit.experiments.home import checkpoints, weights_folder
from prunekit.experiments.records import Run
from prunekit.experiments.store import RunStore
from prunekit.models.drafts import OLD, draft


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
