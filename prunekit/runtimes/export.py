"""Writing a model as ONNX, with the batch left open."""

from __future__ import annotations

import contextlib
import copy
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from prunekit.errors import RuntimeFault
from prunekit.runtimes.faults import first_line

INPUT, OUTPUT = "images", "scores"


def export_onnx(model: nn.Module, input_shape: Sequence[int], path: str | Path, *, batch: int = 2) -> Path:
    """Write a model as an ONNX file that takes any batch.

    Not for two threads at once: torch's exporter is not made for that. Nothing is printed or logged.

    Parameters
    ----------
    model : nn.Module
        A classifier in float32; it is copied, not changed.
    input_shape : sequence of int
        Shape of one sample, (C, H, W).
    path : str or Path
        The file to write.
    batch : int
        Samples in the example that is traced; at least 2, since torch takes a batch of 1 for a constant.

    Returns
    -------
    Path
        The file: input ``images`` [batch, C, H, W], output ``scores`` [batch, classes], both float32.

    Raises
    ------
    RuntimeFault
        If the model cannot be exported; the message names what stops it.
    """
    path = Path(path)
    example = torch.zeros(batch, *input_shape)
    try:
        with _silence():
            program = _exported(copy.deepcopy(model).cpu().eval(), example)
            program.save(str(path), external_data=False)
    except Exception as error:
        raise RuntimeFault(f"this model cannot be exported to ONNX: {first_line(error)}") from error
    return path


def _exported(model: nn.Module, example: torch.Tensor) -> Any:
    """Trace the model with an open batch."""
    open_batch = ({0: torch.export.Dim("batch", min=1)},)
    names = {"input_names": [INPUT], "output_names": [OUTPUT]}
    return torch.onnx.export(model, (example,), dynamo=True, dynamic_shapes=open_batch, verbose=False, **names)  # type: ignore[arg-type]


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what exporters print, warn and log away from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
