"""What of an imported archive may be used: which code may build its model, and an ONNX graph that is looked through and not run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from prunekit.config.ids import ModelId
from prunekit.config.recipe import Recipe
from prunekit.config.registered import registered_data, registered_models
from prunekit.errors import ModelError, PrunekitError
from prunekit.experiments.archive.manifest import INT8, LOADER, ArchiveError, Manifest
from prunekit.experiments.store import RunStore
from prunekit.local_code.factories import is_factory, split_name
from prunekit.models.hugging_face_files import PREFIX as HUGGING_FACE
from prunekit.models.zoos import TORCHVISION, torchvision_names
from sample_models import FOLDERS, SAMPLES

DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Whose operators a quantised model uses; others would be code of somebody's own."""


def check_graph(path: Path) -> None:
    """Look through an ONNX file."""
    import onnx  # noqa: PLC0415  # loaded only where it is used

    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception:  # whatever a damaged file makes the parser trip over
        raise ArchiveError(f"{INT8} in the archive is no ONNX file or is damaged: it is not taken in") from None
    graphs = list(_graphs(model.graph))
    nodes = [node for part in (*graphs, *model.functions) for node in part.node]
    foreign = sorted({node.domain for node in nodes} - set(DOMAINS) - {function.domain for function in model.functions})
    if foreign:
        raise ArchiveError(f"{INT8} in the archive uses operators of {foreign[0][:80]!r}, which are no part of ONNX Runtime: not taken in")
    if any(tensor.external_data or tensor.data_location for tensor in _tensors(graphs, nodes)):
        raise ArchiveError(f"{INT8} in the archive keeps its data in other files: it is not taken in")


def _graphs(graph: Any) -> Iterator[Any]:
    """Yield a graph and those within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])):
                yield from _graphs(inner)


def _tensors(graphs: list[Any], nodes: list[Any]) -> Iterator[Any]:
    """Yield every tensor in graphs and nodes."""
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)


def architecture_of(manifest: Manifest, store: RunStore, factory: str | None = None) -> str:
    """Return by what the model of an archive is built here."""
    name = manifest.architecture
    if name in SAMPLES or name in FOLDERS or (name.startswith(TORCHVISION) and name.removeprefix(TORCHVISION) in torchvision_names()):
        return name
    if name.startswith(HUGGING_FACE):
        return _hugging_face(name, store, factory)
    if not is_factory(name):
        raise ArchiveError(
            f"the archive was made from {name[:200]!r}, which is no model of prunekit or torchvision here: install the versions it names"
        )
    return _factory(manifest, store, factory)


def _hugging_face(name: str, store: RunStore, given: str | None) -> str:
    """Return the folder or id of transformers that builds an archive, where a person named it: a stranger's word fetches nothing."""
    if given is not None and given.startswith(HUGGING_FACE):
        return given
    if name in {*(str(run.model.get("name", "")) for run in store.runs(limit=100_000)), *(known.name for known in registered_models())}:
        return name
    raise ArchiveError(
        f"the model in this archive is built by the configuration of {name[:200]}, which was not used here: name one with "
        f"--model {HUGGING_FACE}FOLDER, a folder of the model that it was pruned from, or load it without prunekit by {LOADER}"
    )


def _factory(manifest: Manifest, store: RunStore, given: str | None) -> str:
    """Return a factory of this machine that is, to the byte, the one in the archive."""
    wanted, attribute = manifest.files.get(manifest.code, ("", 0))[0], manifest.architecture.rpartition(":")[2]
    known = [given] if given is not None else [*dict.fromkeys(_known(store))]
    for name in known:
        if name.rpartition(":")[2] == attribute and wanted and _digest(name) == wanted:
            path, _ = split_name(name, ModelError)
            return f"{path}:{attribute}"
    code = manifest.code or "the file with the architecture"
    if given is not None:
        raise ArchiveError(
            f"{given} does not build this archive: {attribute} must come from a file that is the same, to the byte, as {code}"
        )
    raise ArchiveError(
        f"the model in this archive is built by {attribute} in {code}, which is not known here, and code in an archive is never run: "
        f"unpack {code}, read it, and if you trust it name it with --model path/to/{code}:{attribute}, or start prunekit app "
        "with it"
    )


def _known(store: RunStore) -> Iterator[str]:
    """Yield the factories that were named at launch, or that runs were made from here."""
    yield from (model.name for model in registered_models() if is_factory(model.name))
    for run in store.runs(limit=100_000):
        name = str(run.model.get("name", ""))
        if is_factory(name):
            yield ModelId(name).name


def trusted_recipe(recipe: Recipe, store: RunStore, factory: str | None = None, task: str | None = None) -> Recipe:
    """Return a recipe that names no code but what a person named here: a stranger's word makes none run."""
    runs = [run for run in store.runs(limit=100_000) if run.kind != "imported"]
    model, named = dict(recipe.model or {}), str((recipe.model or {}).get("task") or "")
    tasks = {str(run.model.get("task") or "") for run in runs} | {str(known.task or "") for known in registered_models()}
    model.pop("task", None)
    name = str(model.get("name", ""))
    if is_factory(name) and name not in {factory, *_known(store)}:
        model["name"] = f"{name.rpartition('/')[2].replace('.py:', '.')} of another machine"
    kept = task or (named if named and (not is_factory(named) or named in tasks) else None)
    data = {known.name for known in registered_data()} | {str((run.info.get("data") or {}).get("name", "")) for run in runs}
    strange = recipe.data is not None and is_factory(str(recipe.data["name"])) and str(recipe.data["name"]) not in data
    told = {**model, **({"task": kept} if kept else {})} if recipe.model is not None else None
    return replace(recipe, model=told, data=None if strange else recipe.data)


def _digest(name: str) -> str:
    """Return the sha256 of a factory's file; "" where it is not there."""
    try:
        return hashlib.sha256(Path(split_name(name, ModelError)[0]).read_bytes()).hexdigest()
    except (PrunekitError, OSError):
        return ""
