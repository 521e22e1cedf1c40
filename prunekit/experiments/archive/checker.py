"""Opens one form of a model as a stranger would: no prunekit here, and none can be imported.

Run as ``python -I checker.py REQUEST.json``: by its path, so that it imports nothing of the package that it lies in. The request names
``folder`` (the unpacked archive), ``file`` (which form), ``inputs`` and ``scores`` (numpy files to read and to write: inputs by number,
all outputs by place), ``nest`` (how the inputs are nested), ``batch`` and ``path`` (where packages lie). What goes wrong is the last line
on stderr.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

BLOCKED = ("prunekit", "sample_models")


class Nothing:
    """Finds no prunekit, wherever it may be installed."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Refuse the modules that a stranger does not have."""
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def block(places: Sequence[str]) -> None:
    """Make prunekit impossible to import: its checkout leaves the path, an installed one is not found."""
    known = [*sys.path, *(place for place in places if place not in sys.path)]
    sys.path[:] = [place for place in known if place and not _checkout(Path(place))]
    sys.meta_path.insert(0, Nothing)  # type: ignore[arg-type]


def _checkout(place: Path) -> bool:
    """Return whether a folder is there for prunekit alone."""
    return (place / "prunekit").is_dir() and not (place / "numpy").is_dir()


Arrays = dict[str, Any]


def grown(plain: Any, parts: Mapping[str, Any]) -> Any:
    """Return the nest of plain values, with arrays or tensors in it."""
    ((kind, held),) = plain.items()
    if kind == "tensor":
        return parts[held]
    if kind == "dict":
        return {key: grown(part, parts) for key, part in held.items()}
    return held if kind == "value" else (tuple if kind == "tuple" else list)(grown(part, parts) for part in held)


def called(function: Callable[..., Any], nest: Any, parts: Mapping[str, Any]) -> Any:
    """Call what takes a nest of inputs."""
    return function(*(grown(part, parts) for part in nest["args"]), **{key: grown(part, parts) for key, part in nest["kwargs"].items()})


def predictor(folder: Path, file: str, nest: Any) -> Callable[[Arrays], Any]:
    """Return what predicts a batch of arrays."""
    if file == "load.py":
        return _loaded(folder / file, nest)
    return _onnx(folder / file) if file.endswith(".onnx") else _exported(folder / file, nest)


def _loaded(path: Path, nest: Any) -> Callable[[Arrays], Any]:
    """Run the program as ``python load.py`` does, then use it."""
    sys.path.insert(0, str(path.parent))
    sys.argv[:] = [str(path)]
    made = runpy.run_path(str(path), run_name="__main__")
    model = made["load_model"]()
    convert = made["torch"].from_numpy if "torch" in made else lambda array: array
    predict = partial(made["predict"], model)
    return lambda arrays: called(predict, nest, {name: convert(array) for name, array in arrays.items()})


def _onnx(path: Path) -> Callable[[Arrays], Any]:
    """Open an ONNX file."""
    import onnxruntime  # noqa: PLC0415  # each form loads what it needs and no more

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    return lambda arrays: session.run(None, dict(zip(names, arrays.values(), strict=True)))


def _exported(path: Path, nest: Any) -> Callable[[Arrays], Any]:
    """Open a file of torch.export."""
    import torch  # noqa: PLC0415

    model = torch.export.load(path).module()

    def predict(arrays: Arrays) -> Any:
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        with torch.inference_mode():
            try:
                return called(model, nest, tensors)
            except (TypeError, ValueError, RuntimeError):  # what returns containers that torch.export does not know takes tensors alone
                if len(tensors) == 1 and not nest["kwargs"]:
                    raise
                return model(*tensors.values())

    return predict


def arrays_in(out: Any) -> Iterator[Any]:
    """Yield all that a model gave as arrays, in order."""
    if hasattr(out, "detach"):
        kept = out.detach().cpu()
        yield (kept.float() if kept.is_floating_point() else kept).numpy()
    elif hasattr(out, "dtype"):
        yield out
    else:
        parts = vars(out) if hasattr(out, "__dict__") and not isinstance(out, (Mapping, list, tuple)) else out
        for part in parts.values() if isinstance(parts, Mapping) else parts if isinstance(parts, (list, tuple)) else ():
            yield from arrays_in(part)


def main(request: str) -> None:
    """Predict all samples and write what has an entry for each of them."""
    told = json.loads(Path(request).read_text(encoding="utf-8"))
    block(told["path"])
    import numpy as np  # noqa: PLC0415  # where it lies is known only now

    with np.load(told["inputs"]) as file:
        inputs = {name: file[name] for name in file.files}
    batch, samples, found = told["batch"], told["nest"]["samples"], []
    predict = predictor(Path(told["folder"]), told["file"], told["nest"])
    for start in range(0, samples, batch):
        stop = min(start + batch, samples)
        part = {name: np.ascontiguousarray(array[start:stop] if array.shape[:1] == (samples,) else array) for name, array in inputs.items()}
        found.append({str(place): array for place, array in enumerate(arrays_in(predict(part)))})
        found[-1] = {place: array for place, array in found[-1].items() if array.shape[:1] == (stop - start,)}
    loaded = [name for name in BLOCKED if name in sys.modules]
    if loaded:
        raise SystemExit(f"it has loaded {' and '.join(loaded)}")
    common = [place for place in found[0] if all(place in each for each in found)]
    arrays: dict[str, Any] = {place: np.concatenate([each[place] for each in found]) for place in common}
    np.savez(told["scores"], **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
