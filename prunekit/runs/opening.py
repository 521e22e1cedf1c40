"""Opening a run again: the very model that was measured, read from where it was kept or made once more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from prunekit.catalog.ids import DataId
from prunekit.runs.records import Run

if TYPE_CHECKING:
    from prunekit.runs.store import RunStore
    from prunekit.runtimes import Session


@dataclass(frozen=True, eq=False)
class Opened:
    """A run, ready to be looked at and measured.

    Attributes
    ----------
    run : Run
        Which one.
    model : nn.Module or None
        In eval mode, its parameters without gradients, shared with nobody who writes to it; None for a quantised run.
    session : Session or None
        A quantised run in its runtime.
    file : Path or None
        What it was read from: a folder, a checkpoint or ``model.int8.onnx``; None where it was made again.
    data_id : DataId or None
        What its images were, where it has been measured.
    note : str
        What a person should know; mostly "".
    """

    run: Run
    model: nn.Module | None
    session: Session | None
    file: Path | None
    data_id: DataId | None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Structure:
    """What is left of each prunable layer, told in the dense model's own shapes, so that runs can be compared weight by weight.

    Attributes
    ----------
    masks : dict of str to BoolTensor
        Layer -> shape of the dense weight, True where a weight stays.
    kept : dict of str to ndarray of int, or None
        Layer -> original indices of the outputs that stay; None where no channels were removed.
    widths : dict of str to tuple of int
        Layer -> output channels before and after.
    """

    masks: dict[str, Tensor]
    kept: dict[str, NDArray[np.int64]] | None
    widths: dict[str, tuple[int, int]]


def open_run(run: Run | str, store: RunStore | None = None, *, data: Any = None) -> Opened:
    """Open a run.

    Parameters
    ----------
    run : Run or str
        Which one, or its id.
    store : RunStore, optional
        Where it is kept; `prunekit.runs.store` when left out.
    data : Data, optional
        The images that its criterion looked at, where they are loaded already; else they are loaded if they are needed.

    Returns
    -------
    Opened
        Its model has the weights that were measured.

    Raises
    ------
    RunGone
        If its weights are not there any more, the dense model under its name has become another one, or the images cannot be had.
    StoreError
        If there is no such run.
    """
    raise NotImplementedError


def structure_of(opened: Opened, store: RunStore | None = None) -> Structure:
    """Return what is left of each layer of a run.

    A quantised run has the structure of the float32 model that it was made from.

    Parameters
    ----------
    opened : Opened
        Of `open_run`.
    store : RunStore, optional
        As for `open_run`.

    Raises
    ------
    RunGone
        As for `open_run`; or if it is not known which channels of it stay.
    """
    raise NotImplementedError
