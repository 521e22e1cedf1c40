"""A quantised model from a stranger: an ONNX graph that is looked through and not run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prunekit.runs.archive.contents import INT8, ArchiveError

DOMAINS = ("", "ai.onnx", "com.microsoft")
"""Whose operators a quantised model uses; others would be code of somebody's own."""


def check_graph(path: Path) -> None:
    """Look through an ONNX file.

    Raises
    ------
    ArchiveError
        If it is damaged, keeps data in other files, or uses operators that are not ONNX Runtime's own.
    """
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
