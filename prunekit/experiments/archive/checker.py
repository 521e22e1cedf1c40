"""Opens one form of a model as a stranger would: no prunekit here, and none can be imported.

Run as ``python -I checker.py REQUEST.json``: by its path, so that it imports nothing of the package that it lies in. The request names
``folder`` (the unpacked archive), ``file`` (which form), ``images`` and ``scores`` (numpy files to read and to write: all outputs, by
place), ``batch`` and ``path`` (where packages lie). What goes wrong is the last line on stderr.
"""

from __future__ import annotations

import json
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
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


def predictor(folder: Path, file: str) -> Callable[[Any], Any]:
    """Return what predicts a batch, an array of float32."""
    if file == "load.py":
        return _loaded(folder / file)
    return _onnx(folder / file) if file.endswith(".onnx") else _exported(folder / file)


def _loaded(path: Path) -> Callable[[Any], Any]:
    """Run the program as ``python load.py`` does, then use it."""
    sys.path.insert(0, str(path.parent))
    sys.argv[:] = [str(path)]
    made = runpy.run_path(str(path), run_name="__main__")
    model = made["load_model"]()
    return lambda x: made["predict"](model, made["torch"].from_numpy(x) if "torch" in made else x)


def _onnx(path: Path) -> Callable[[Any], Any]:
    """Open an ONNX file."""
    import onnxruntime  # noqa: PLC0415  # each form loads what it needs and no more

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})


def _exported(path: Path) -> Callable[[Any], Any]:
    """Open a file of torch.export."""
    import torch  # noqa: PLC0415

    model = torch.export.load(path).module()

    def predict(x: Any) -> Any:
        with torch.inference_mode():
            return model(torch.from_numpy(x))

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
    """Predict all images and write what has an entry for each of them."""
    told = json.loads(Path(request).read_text(encoding="utf-8"))
    block(told["path"])
    import numpy as np  # noqa: PLC0415  # where it lies is known only now

    images, batch, found = np.load(told["images"]), told["batch"], []
    predict = predictor(Path(told["folder"]), told["file"])
    for start in range(0, len(images), batch):
        part = np.ascontiguousarray(images[start : start + batch])
        found.append({str(place): array for place, array in enumerate(arrays_in(predict(part)))})
        found[-1] = {place: array for place, array in found[-1].items() if array.shape[:1] == (len(part),)}
    loaded = [name for name in BLOCKED if name in sys.modules]
    if loaded:
        raise SystemExit(f"it has loaded {' and '.join(loaded)}")
    common = [place for place in found[0] if all(place in each for each in found)]
    arrays: dict[str, Any] = {place: np.concatenate([each[place] for each in found]) for place in common}
    np.savez(told["scores"], **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
