"""Experiment trackers: one small protocol, with adapters for MLflow, Weights & Biases and TensorBoard."""

from __future__ import annotations

import importlib
import importlib.util
import math
import re
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from prunekit.errors import PrunekitError, SpecError, one_of

__all__ = ["TRACKERS", "LogTo", "Logged", "Tracker", "open_tracker", "tracked"]


class Tracker(Protocol):
    """What an experiment tracker is told of one run."""

    def params(self, values: Mapping[str, Any]) -> None:
        """Note what was asked for, by name: texts, numbers and truth values."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Note what was measured, by name: finite numbers. ``step`` is an epoch, or the place in a sweep."""

    def artifact(self, path: Path) -> None:
        """Keep a file, by its name."""

    def end(self, failed: bool = False) -> None:
        """Close the run."""


LogTo: TypeAlias = Tracker | str | None
"""What work takes to be logged: a tracker, the name of one that comes along, or nothing."""


PROJECT = "prunekit"
LONGEST = 500
"""Characters of a value that MLflow takes whatever keeps it."""


class MLflow:
    """A run of MLflow, through its client: nothing global is set.

    ``where``: a tracking URI, a folder (for an SQLite file and the artifacts), or "" for MLflow's own choice (``MLFLOW_TRACKING_URI``).
    """

    def __init__(self, where: str, name: str) -> None:
        client: Any = importlib.import_module("mlflow.tracking").MlflowClient
        self._entities = importlib.import_module("mlflow.entities")
        folder = Path(where).expanduser().absolute() if where and "://" not in where and where != "databricks" else None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        self.client = client(tracking_uri=where or None if folder is None else f"sqlite:///{folder / 'mlflow.db'}")
        known = self.client.get_experiment_by_name(PROJECT)
        kept = None if folder is None else (folder / "artifacts").as_uri()
        experiment = known.experiment_id if known is not None else self.client.create_experiment(PROJECT, artifact_location=kept)
        self.run = self.client.create_run(experiment, run_name=name).info.run_id

    def params(self, values: Mapping[str, Any]) -> None:
        """Note what was asked for."""
        made = [self._entities.Param(name, str(value)[:LONGEST]) for name, value in values.items()]
        self.client.log_batch(self.run, params=made)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Note what was measured."""
        now = int(time.time() * 1000)
        self.client.log_batch(self.run, metrics=[self._entities.Metric(_name(name), value, now, step) for name, value in values.items()])

    def artifact(self, path: Path) -> None:
        """Keep a file."""
        self.client.log_artifact(self.run, str(path))

    def end(self, failed: bool = False) -> None:
        """Close the run."""
        self.client.set_terminated(self.run, "FAILED" if failed else "FINISHED")


def _name(text: str) -> str:
    """Return a name with the characters that MLflow allows."""
    return re.sub(r"[^\w\-. /]", "_", text)


class WandB:
    """A run of Weights & Biases.

    ``where``: a project, or TEAM/PROJECT; "" for ``prunekit``. Whether it goes over the network ``WANDB_MODE`` says, and to which folder
    ``WANDB_DIR``.
    """

    def __init__(self, where: str, name: str) -> None:
        library: Any = importlib.import_module("wandb")
        team, _, project = (where or PROJECT).rpartition("/")
        quiet = library.Settings(silent=True, console="off")
        self.run = library.init(project=project, entity=team or None, name=name, settings=quiet, reinit="create_new")

    def params(self, values: Mapping[str, Any]) -> None:
        """Note what was asked for."""
        self.run.config.update(dict(values), allow_val_change=True)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Note what was measured: at a step that only grows, as wandb wants it, the given one beside."""
        self.run.log({**values, "step": step})

    def artifact(self, path: Path) -> None:
        """Keep a file: a copy, for it may be gone before all was sent."""
        shutil.copyfile(path, Path(self.run.dir) / path.name)

    def end(self, failed: bool = False) -> None:
        """Close the run."""
        self.run.finish(exit_code=int(failed))


class TensorBoard:
    """Event files of TensorBoard; artifacts are copied beside them. ``where``: their folder; "" for one of the run under ``runs``."""

    def __init__(self, where: str, name: str) -> None:
        writer: Any = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        called = re.sub(r"[^\w.-]+", "-", name)
        folder = Path(where).expanduser() if where else Path("runs") / f"{called}-{time.strftime('%Y%m%d-%H%M%S')}"
        self.writer = writer(str(folder))

    def params(self, values: Mapping[str, Any]) -> None:
        """Note what was asked for, as a table in Markdown."""
        rows = ["| {} | {} |".format(name, str(value).replace("|", "\\|")) for name, value in values.items()]
        self.writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Note what was measured."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)
        self.writer.flush()

    def artifact(self, path: Path) -> None:
        """Keep a file."""
        shutil.copyfile(path, Path(self.writer.log_dir) / path.name)

    def end(self, failed: bool = False) -> None:
        """Close the run."""
        self.writer.close()


TRACKERS: dict[str, tuple[Callable[[str, str], Tracker], str]] = {
    "mlflow": (MLflow, "mlflow"),
    "wandb": (WandB, "wandb"),
    "tensorboard": (TensorBoard, "tensorboard"),
}
"""Name -> the class, and the package that it needs, which the extra of that name installs."""


def open_tracker(where: str, name: str = PROJECT) -> Tracker:
    """Open a tracker that comes along.

    Parameters
    ----------
    where : str
        ``mlflow``, ``wandb`` or ``tensorboard``, or one with a place behind a colon: ``mlflow:FOLDER_OR_URI``,
        ``wandb:PROJECT``, ``tensorboard:FOLDER``.
    name : str
        What the run is called.

    Raises
    ------
    SpecError
        If there is none of that name.
    PrunekitError
        If its package is not installed, or it cannot be reached.
    """
    kind, _, place = where.partition(":")
    one_of("the tracker", kind, tuple(TRACKERS), SpecError)
    opener, package = TRACKERS[kind]
    if importlib.util.find_spec(package) is None:
        raise PrunekitError(f"logging to {kind} needs the package {package}, which is not here: pip install 'prunekit[{kind}]'")
    try:
        return opener(place, name)
    except Exception as error:
        raise PrunekitError(f"{kind} cannot be opened{f' at {place}' * bool(place)}: {' '.join(str(error).split())[:300]}") from error


class Logged:
    """A tracker as work uses it: it gets flat names and finite numbers, and its failures end no work.

    Parameters
    ----------
    inner : Tracker or None
        Nobody is told where there is none.
    warn : callable
        Told the first failure, after which the tracker is told nothing more.
    """

    def __init__(self, inner: Tracker | None, warn: Callable[[str], object]) -> None:
        self.inner, self.warn = inner, warn

    def params(self, values: Mapping[str, Any]) -> None:
        """Note what was asked for; what has no value is left out, and a list is a text."""
        self._tell(lambda inner: inner.params({name: _plain(value) for name, value in flat(values).items() if value not in (None, ())}))

    def metrics(self, values: Mapping[str, Any], step: int = 0) -> None:
        """Note what was measured; what is no finite number is left out."""
        numbers = {name: float(value) for name, value in flat(values).items() if isinstance(value, (int, float))}
        self._tell(lambda inner: inner.metrics({name: value for name, value in numbers.items() if math.isfinite(value)}, step))

    def artifact(self, path: Path) -> None:
        """Keep a file."""
        self._tell(lambda inner: inner.artifact(path))

    def end(self, failed: bool = False) -> None:
        """Close the run."""
        self._tell(lambda inner: inner.end(failed))

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        """Tell the tracker something."""
        if self.inner is None:
            return
        try:
            what(self.inner)
        except Exception as error:  # a tracker that is gone is no reason to lose what was computed
            self.inner = None
            self.warn(f"the tracker failed and is told nothing more: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Return nested values by one name each, as in ``spec/sparsity``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{before}{name}/") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return found


def _plain(value: Any) -> Any:
    """Return a value that every tracker takes."""
    return (
        value
        if isinstance(value, (bool, int, float, str))
        else ", ".join(map(str, value))
        if isinstance(value, (list, tuple))
        else str(value)
    )


@contextmanager
def tracked(log_to: LogTo, name: str, warn: Callable[[str], object] = warnings.warn) -> Iterator[Logged]:
    """Have a tracker for some work.

    Parameters
    ----------
    log_to : Tracker, str or None
        A text is opened (`open_tracker`) and ended here, as failed where the work raises; a tracker is its owner's to end.
    name : str
        What the run is called.
    warn : callable, optional
        Told where the tracker fails; the work goes on.

    Raises
    ------
    PrunekitError
        If the tracker cannot be opened: before any work.
    """
    if isinstance(log_to, Logged):
        yield log_to
        return
    if not isinstance(log_to, str):
        yield Logged(log_to, warn)
        return
    logged = Logged(open_tracker(log_to, name), warn)
    try:
        yield logged
    except BaseException:
        logged.end(failed=True)
        raise
    logged.end()
