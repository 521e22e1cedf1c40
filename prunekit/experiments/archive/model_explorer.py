"""A run for Google's Model Explorer: its torch.export program, and figures of each layer as node data beside it.

The format is that of ``ai-edge-model-explorer`` (``node_data_builder.py``): graph id -> ``results`` (node id -> ``value``), ``name`` and
``gradient``. Its adapter of ``.pt2`` files calls the one graph ``graph`` and each node as torch.fx does; it reads no program with an
open batch.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from prunekit.colours import DENSE, PAPER, REMOVED
from prunekit.errors import ModelError, RuntimeFault
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.evaluation.sensitivity.drop_curves import drop_curves
from prunekit.experiments.archive.assembling import assemble
from prunekit.experiments.archive.exporting import make_forms
from prunekit.experiments.archive.gathering import gather
from prunekit.experiments.archive.manifest import EXPORTED
from prunekit.experiments.home import store as usual_store
from prunekit.experiments.load_run import open_run
from prunekit.experiments.run_structure import structure_of
from prunekit.experiments.sensitivity_run import latest
from prunekit.experiments.store import RunStore
from prunekit.models.layers import prunable_layers, weight_name
from prunekit.tasks.metrics import PERCENT
from prunekit.tasks.wording import capital, lost_of

GRAPH = "graph"  # as the adapter of .pt2 files calls it
SPARSITY, KEPT_CHANNELS, SENSITIVITY = "sparsity.json", "kept_channels.json", "sensitivity.json"


@dataclass(frozen=True)
class Explored:
    """What was written."""

    folder: Path
    files: tuple[str, ...]  # the program first, then the node data
    layers: int
    missing: tuple[str, ...] = ()  # layers without one: the program does not run them, or computes with their weights otherwise

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "folder": str(self.folder)}


def node_data(name: str, values: Mapping[str, float], operations: Mapping[str, Sequence[str]], high: str = REMOVED) -> dict[str, Any]:
    """Return one figure of each layer as node data.

    ``values``: state name of a layer's weight -> the figure; ``operations``: state name of a weight -> the nodes that take it.
    """
    results = {node: {"value": value} for weight, value in values.items() for node in operations.get(weight, ())}
    return {GRAPH: {"results": results, "name": name, "gradient": [{"stop": 0, "bgColor": PAPER}, {"stop": 1, "bgColor": high}]}}


def export_model_explorer(
    run: str, out: str | PathLike[str], store: RunStore | None = None, *, progress: Progress | Tell = QUIET
) -> Explored:
    """Write a run into a folder that Model Explorer opens: ``model.pt2``, and node data to be loaded with it.

    ``sparsity.json`` holds the share of each layer's dense weights that is gone, in percent; ``kept_channels.json`` the outputs that stay,
    where channels went; ``sensitivity.json`` what each layer loses when it is pruned alone, where that is stored of the dense model.
    """
    where, told = usual_store() if store is None else store, Progress.of(progress)
    told(0.0, "opening the run")
    known = where.find(run)
    opened = open_run(known, where)
    if opened.model is None:
        raise ModelError("a quantised run is a file of ONNX Runtime, and Model Explorer reads what torch.export writes: take its parent")
    folder = Path(out).expanduser()
    with tempfile.TemporaryDirectory(prefix="prunekit-explorer-") as private:
        made = assemble(Path(private) / "made", opened, gather(opened), where)
        form = make_forms(made.folder, made.gathered.pixels.shape, told.part(0.2, 0.9), (EXPORTED,), fixed=True)[EXPORTED]
        if form["error"]:
            raise RuntimeFault(str(form["error"]))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / EXPORTED).write_bytes((made.folder / EXPORTED).read_bytes())
    layers = {name: weight_name(opened.model, name) for name in prunable_layers(opened.model)}
    taken = {weight: form["operations"].get(weight) or form["operations"].get(f"model.{weight}", []) for weight in layers.values()}
    structure = structure_of(opened, where)
    files = [EXPORTED]

    def write(file: str, title: str, of: Mapping[str, float], high: str = REMOVED) -> None:
        values = {layers[name]: value for name, value in of.items() if name in layers}
        if values:
            (folder / file).write_text(json.dumps(node_data(title, values, taken, high), indent=2), encoding="utf-8")
            files.append(file)

    write(SPARSITY, "Weights gone, %", {name: 100 * (1 - float(mask.double().mean())) for name, mask in structure.masks.items()})
    if any(before != after for before, after in structure.widths.values()):
        write(KEPT_CHANNELS, "Channels kept", {name: after for name, (_, after) in structure.widths.items()}, DENSE)
    mode = "structured" if (known.spec or {}).get("mode") == "structured" else "unstructured"
    found = latest(where, known.weights, mode)
    if found is not None:
        named = {layer.name: layer.layers or (layer.name,) for layer in found.layers}
        scale = 100 if found.dense.metric.unit == PERCENT else 1
        lost = {name: scale * curve.mean for curve in drop_curves(found) for name in named[curve.name]}
        write(SENSITIVITY, f"{capital(lost_of(found.dense.metric))}, pruned alone", lost)
    told(1.0, "written")
    return Explored(folder, tuple(files), sum(map(bool, taken.values())), tuple(name for name, w in layers.items() if not taken[w]))
