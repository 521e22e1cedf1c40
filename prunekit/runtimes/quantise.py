"""Quantising an ONNX file to int8, calibrated on training images."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from prunekit.criteria.samples import mixed
from prunekit.errors import DataError, PrunekitError, RuntimeFault
from prunekit.runtimes.onnx_sessions import OnnxSession, fed, load_onnxruntime
from prunekit.runtimes.runtime import first_line, silence
from prunekit.tasks.batch import Batch
from prunekit.tasks.batches import batches_of
from prunekit.tasks.resolver import resolve

LINEAR = ("MatMul", "Gemm")
"""What is quantised of a model of text: its linear layers."""
WITH_WEIGHTS = (*LINEAR, "Conv", "ConvTranspose")
Floats = NDArray[np.float32]


def quantise_onnx(onnx: str | Path, samples: Iterable[Batch | Floats], path: str | Path, *, per_channel: bool = True) -> Path:
    """Write an ONNX file whose weights and activations are int8 (ONNX Runtime's static quantisation).

    Normalisation is folded into the convolutions first; then each quantised tensor gets a pair of QuantizeLinear and DequantizeLinear,
    which ONNX Runtime and OpenVINO turn into integer kernels, those of residual additions and pooling included. What comes after the last
    layer with weights stays in float: probabilities and coordinates of boxes are no matter of 256 steps. Activations are unsigned, which
    is what the fast kernels of x86 multiply with signed weights. Weights use 7 of their 8 bits: processors without VNNI add pairs of
    products in 16 bits, and full weights would overflow there. Ranges are the smallest and largest value of each batch, averaged over the
    batches.

    Parameters
    ----------
    onnx : str or Path
        As :func:`prunekit.runtimes.export_onnx` writes it.
    samples : iterable of Batch, or of ndarray, float32, shape [n, ...]
        Training samples, as :func:`prunekit.runtimes.calibration_samples` returns them.
    path : str or Path
        The file to write.
    per_channel : bool
        A scale for each output channel of a weight, which depthwise convolutions need; else one for each weight.

    Returns
    -------
    Path
        The file, about a quarter of the float32 one.

    Raises
    ------
    DataError
        If there are no samples, or they hold NaN or infinity.
    RuntimeFault
        If the model cannot be quantised; the message says why.
    """
    if not Path(onnx).is_file():
        raise RuntimeFault(f"there is no file {onnx} to quantise: export the model to ONNX first")
    try:
        reader = _reader(samples, Path(onnx))
        with silence(), tempfile.TemporaryDirectory(prefix="prunekit-int8-") as private:
            return _quantised(Path(onnx), reader, Path(path), Path(private), per_channel)
    except PrunekitError:
        raise
    except Exception as error:
        raise RuntimeFault(f"this model cannot be quantised: {first_line(error)}") from error


def quantise_linear(onnx: str | Path, path: str | Path) -> Path:
    """Write an ONNX file whose linear layers are int8 (ONNX Runtime's dynamic quantisation): for models that read token ids.

    Weights have a scale for each output and 7 of their 8 bits, as for `quantise_onnx`; activations are quantised as they come, so that no
    samples are needed. Embeddings, norms and the products of attention stay as they are.

    Parameters
    ----------
    onnx : str or Path
        As :func:`prunekit.runtimes.export_onnx` writes it.
    path : str or Path
        The file to write.

    Raises
    ------
    RuntimeFault
        If the model cannot be quantised, or holds no linear layer.
    """
    target = Path(path)
    done = target.with_name(target.name + ".part")
    try:
        load_onnxruntime()
        from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415  # loaded only where it is used
        from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

        with silence(), tempfile.TemporaryDirectory(prefix="prunekit-int8-") as private:
            folded = Path(private) / "folded.onnx"
            quant_pre_process(str(onnx), str(folded), skip_symbolic_shape=True)
            how = {"per_channel": True, "reduce_range": True, "weight_type": QuantType.QInt8, "op_types_to_quantize": list(LINEAR)}
            quantize_dynamic(str(folded), str(done), **how, extra_options={"MatMulConstBOnly": True})
        if not any(node.op_type == "MatMulInteger" for node in _nodes(done)):
            raise RuntimeFault("there is no linear layer with weights in the file: nothing to quantise")
        done.replace(target)
    except PrunekitError:
        raise
    except Exception as error:
        raise RuntimeFault(f"this model cannot be quantised: {first_line(error)}") from error
    finally:
        done.unlink(missing_ok=True)
    return target


def _nodes(path: Path) -> Any:
    """Return the operators in an ONNX file."""
    import onnx  # noqa: PLC0415  # loaded only where it is used

    return onnx.load(str(path)).graph.node


def _after_the_last_layer(path: Path) -> list[str]:
    """Return the operators whose results no layer with weights reads."""
    read: set[str] = set()
    after = []
    for node in reversed(_nodes(path)):
        if node.op_type in WITH_WEIGHTS or not read.isdisjoint(node.output):
            read.update(node.input)
        elif node.name:
            after.append(node.name)
    return after


def _reader(samples: Iterable[Batch | Floats], onnx: Path) -> Any:
    """Return the samples in the form that the calibration reads."""
    batches = _checked(samples, OnnxSession(onnx, 1).inputs)
    first = next(batches, None)
    if first is None:
        raise DataError("there are no samples to calibrate int8 on: give some training data")

    from onnxruntime.quantization import CalibrationDataReader  # noqa: PLC0415  # loaded only where it is used

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """One batch after the other."""

        def __init__(self) -> None:
            self.ready: dict[str, Any] | None = first

        def get_next(self) -> dict[str, Any] | None:
            """Return the next batch, None after the last."""
            batch = self.ready
            self.ready = None if batch is None else next(batches, None)
            return batch

    return Reader()


def _checked(samples: Iterable[Batch | Floats], names: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the batches that hold something, and refuse numbers that would spoil every range."""
    for part in samples:
        batch = part if isinstance(part, Batch) else Batch.of(torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32)))
        given = fed(batch, names)
        if not all(np.isfinite(array).all() for array in given.values() if array.dtype.kind == "f"):
            raise DataError("the samples to calibrate int8 on hold NaN or infinity: choose others, or check how they are normalised")
        if batch.samples:
            yield given


def _quantised(onnx: Path, reader: Any, path: Path, private: Path, per_channel: bool) -> Path:
    """Fold, calibrate, quantise and move the result to its place in one step."""
    load_onnxruntime()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static  # noqa: PLC0415
    from onnxruntime.quantization.shape_inference import quant_pre_process  # noqa: PLC0415

    folded, done = private / "folded.onnx", path.with_name(path.name + ".part")
    quant_pre_process(str(onnx), str(folded), skip_symbolic_shape=True)
    try:
        quantize_static(
            str(folded),
            str(done),
            reader,
            quant_format=QuantFormat.QDQ,
            per_channel=per_channel,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            nodes_to_exclude=_after_the_last_layer(folded),
            extra_options={"CalibMovingAverage": True},
        )
        done.replace(path)
    finally:
        done.unlink(missing_ok=True)
    return path


BATCH = 32


def calibration_samples(data: Any, n: int = 256, seed: int = 0) -> list[Batch]:
    """Return training samples to calibrate on, mixed, in batches.

    Parameters
    ----------
    data : Data
        As ``load_data`` returns it; only its training part is read.
    n : int
        How many; all of them where there are no more.
    seed : int
        Of their order.

    Returns
    -------
    list of Batch
        Inputs as the model expects them, without targets.

    Raises
    ------
    DataError
        If there are no training samples.
    """
    split = getattr(data, "train", None)
    if split is None:
        raise DataError(
            f"int8 is calibrated on training {resolve(None, data).units_of_data}, and these data have none: "
            "choose data with a training part (digits, mnist, cifar10, or an image folder with one)"
        )
    if n < 1:
        raise DataError(f"calibration needs at least 1 sample; got {n!r}")
    return [replace(batch, targets=None) for batch in batches_of(mixed(split, n, seed), BATCH)]
