"""Runtimes: the same weights run by torch, ONNX Runtime or OpenVINO, and what it takes to get there (export, quantisation)."""

from prunekit.runtimes.checking import Check, check
from prunekit.runtimes.export import export_onnx, load_exporter
from prunekit.runtimes.quantise import calibration_images, quantise_onnx
from prunekit.runtimes.registry import RUNTIMES, Runtime
from prunekit.runtimes.session import Files, Session
from prunekit.runtimes.session_accuracy import evaluate_session

__all__ = [
    "RUNTIMES",
    "Check",
    "Files",
    "Runtime",
    "Session",
    "calibration_images",
    "check",
    "evaluate_session",
    "export_onnx",
    "load_exporter",
    "quantise_onnx",
]
