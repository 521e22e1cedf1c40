"""In a process of its own: a model is written as ONNX and by torch.export, which is not made for a process with several threads."""

from __future__ import annotations

import inspect
import json
import math
import runpy
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.errors import RuntimeFault
from prunekit.experiments.archive.exporting import FORM, note_of
from prunekit.experiments.archive.manifest import EXPORTED, LOADER, ONNX
from prunekit.formatting import error as small
from prunekit.latency import counters
from prunekit.latency.worker import in_a_process
from prunekit.latency.worker_main import Say
from prunekit.models.load import load_model
from prunekit.models.outputs import tensors_of
from prunekit.models.running import run
from prunekit.runtimes.checking import MOST_ERROR, apart
from prunekit.runtimes.export import Flat, export_onnx, load_exporter, open_batch, zeros_like
from prunekit.runtimes.runtime import silence, traced_reason
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm, samples_like
from prunekit.tasks.stored_batch import read

WORDS = {ONNX: "writing model.onnx", EXPORTED: "writing model.pt2"}


def make(folder: Path, shape: tuple[int, ...], name: str, fixed: bool = False) -> None:
    """Write one file, and a note that says what came of it."""
    counters.volunteer()
    found: dict[str, Any] = {"error": "", "batch": 0}
    try:
        model = _model(folder)
        if name == ONNX:
            export_onnx(model, shape, folder / name)
        else:
            found["batch"] = export_program(model, shape, folder / name, (1,) if fixed else (2, 1))
            found["operations"] = operations_of(torch.export.load(folder / name))
    except Exception as error:
        (folder / name).unlink(missing_ok=True)
        found["error"] = str(error) if isinstance(error, RuntimeFault) else traced_reason(error)
    note_of(folder, name).write_text(json.dumps(found), encoding="utf-8")


def export_program(model: nn.Module, shape: tuple[int, ...], path: Path, batches: Sequence[int] = (2, 1)) -> int:
    """Write a model as torch.export does; return the batch it takes: 0 for any, 1 where its code allows only ``batches`` of 1."""
    for batch in batches:
        try:
            with silence():
                _save(model, shape, batch, path)
            return batch % 2
        except Exception as error:
            if batch == 1:
                raise RuntimeFault(f"this model cannot be exported with torch.export: {traced_reason(error)}") from error
    raise AssertionError("unreachable")


def _save(model: nn.Module, shape: tuple[int, ...], batch: int, path: Path) -> None:
    """Trace with samples of zeros, compare on others, and save; paths of this machine are left out."""
    inputs = zeros_like(samples_like(shape, batch, torch.Generator().manual_seed(0)))
    with torch.no_grad():
        # whoever opens the file knows lists, tuples and dicts; what stands in another container comes as one tuple
        known = _everybodys(run(model, inputs))
        if known:
            axes = _axes(model, inputs) if batch > 1 else None
            program = torch.export.export(model, inputs.args, inputs.kwargs, dynamic_shapes=axes)
        else:
            tensors = tuple(tensor for _, tensor in inputs.named_tensors())
            program = torch.export.export(Flat(model, inputs), tensors, dynamic_shapes=(open_batch(inputs),) if batch > 1 else None)
    _compare(model, program.module(), known, samples_like(shape, 2 * batch - 1, torch.Generator().manual_seed(0)))
    for node in program.graph_module.graph.nodes:
        node.meta.pop("stack_trace", None)
    torch.export.save(program, path)


def operations_of(program: Any) -> dict[str, list[str]]:
    """Return the nodes of an exported program that take each parameter, views of it left out, by the parameter's name in the model."""
    taken = program.graph_signature.inputs_to_parameters  # a constant of the program has no name of the model's
    held = {node: taken[node.name] for node in program.graph_module.graph.nodes if node.op == "placeholder" and node.name in taken}
    found: dict[str, list[str]] = {}
    for node in program.graph_module.graph.nodes:
        sources = {held[each] for each in node.all_input_nodes if each in held}
        if node.op != "placeholder" and sources and all(each in held for each in node.all_input_nodes) and len(sources) == 1:
            held[node] = next(iter(sources))  # a view, or what is computed of one weight alone
        elif node.op != "output":
            for name in sources:
                found.setdefault(name, []).append(node.name)
    return found


def _everybodys(out: Any) -> bool:
    """Whether an output stands in containers of Python's own: others may be known to torch here, and not where the file is opened."""
    if type(out) in (list, tuple, dict):
        return all(map(_everybodys, out.values() if isinstance(out, dict) else out))
    return isinstance(out, (Tensor, int, float, str, bool, type(None)))


def _axes(model: nn.Module, inputs: Batch) -> Any:
    """Return which axes of a batch's tensors are left open, in the nest that they are passed in."""
    following = iter(open_batch(inputs))
    nest = inputs.map(lambda _: next(following))  # type: ignore[arg-type,return-value]
    return dict(inspect.signature(model.forward).bind(*nest.args, **nest.kwargs).arguments) if nest.kwargs else nest.args


def _compare(model: nn.Module, exported: nn.Module, nested: bool, x: Batch) -> None:
    """Raise unless the program gives the model's outputs for another batch than the one that was traced."""
    with torch.inference_mode():
        expected = list(tensors_of(run(model, x)).values())
        flat = tuple(tensor for _, tensor in x.named_tensors())
        found = list(tensors_of(run(exported, x if nested else Batch(flat, {}, None, x.samples))).values())
    off = max(map(apart, expected, found), default=math.inf) if len(expected) == len(found) else math.inf
    if not off <= MOST_ERROR:
        raise RuntimeFault(f"the exported program gives other outputs than the model ({small(off)} of the largest)")


def _model(folder: Path) -> nn.Module:
    """Return the model: from the very ``load.py`` that is handed out, or, where that fails, as prunekit opens the folder."""
    before, compiled = list(sys.path), sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # everything that is in the folder goes into the archive
    try:
        return runpy.run_path(str(folder / LOADER))["load_model"]()  # type: ignore[no-any-return]
    except Exception:
        return load_model(str(folder))
    finally:
        sys.path[:], sys.dont_write_bytecode = before, compiled


def make_all(path: Path, say: Say) -> dict[str, object]:
    """Make all forms, one after the other."""
    told = json.loads(path.read_text(encoding="utf-8"))
    folder, form = Path(told["folder"]), Path(told["folder"]).parent / FORM
    shape = InputForm.of(read(form)) if form.is_file() else tuple(told["shape"])
    load_exporter()
    for place, name in enumerate(told["names"]):
        ended = in_a_process(make, folder, shape, name, told["fixed"], alive=partial(say, place / len(told["names"]), WORDS[name]))
        if ended:
            (folder / name).unlink(missing_ok=True)
            note_of(folder, name).write_text(json.dumps({"error": f"{WORDS[name]}: {ended}", "batch": 0}), encoding="utf-8")
    return {}
