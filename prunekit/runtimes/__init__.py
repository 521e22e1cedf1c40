"""Runtimes: the same weights run by torch, ONNX Runtime or OpenVINO, and what it takes to get there (export, quantisation)."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from prunekit.runtimes.backends import RUNTIMES
from prunekit.runtimes.runtime import Files, Runtime, Session

if TYPE_CHECKING:
    from prunekit.runtimes.checking import Check, check, evaluate_session
    from prunekit.runtimes.export import export_onnx, load_exporter
    from prunekit.runtimes.quantise import calibration_samples, quantise_linear, quantise_onnx

_HOME = {
    "checking": ("Check", "check", "evaluate_session"),
    "export": ("export_onnx", "load_exporter"),
    "quantise": ("calibration_samples", "quantise_linear", "quantise_onnx"),
}

__all__ = [
    "RUNTIMES",
    "Check",
    "Files",
    "Runtime",
    "Session",
    "calibration_samples",
    "check",
    "evaluate_session",
    "export_onnx",
    "load_exporter",
    "quantise_linear",
    "quantise_onnx",
]


def __getattr__(name: str) -> Any:
    """Import what works with models at first use: the names of runtimes must not wait for torch."""
    for module, names in _HOME.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
