"""JSON Schemas of what prunekit writes: the outputs of ``--json``, recipes, and the files of an archive; see docs/schemas."""

from __future__ import annotations

from typing import Any

from prunekit.cli.schemas.archives import ArchivedResult, Checked, Exported, ExportedFolder, ExportedGraph, Imported, Manifest
from prunekit.cli.schemas.generate import Definitions, Schema
from prunekit.cli.schemas.inspected import Inspected, Models
from prunekit.cli.schemas.measured import Furthest, Latency, Search, Sensitivity, Sweep
from prunekit.cli.schemas.pruned import Recipe, Result
from prunekit.cli.schemas.stored import Applied, Compared, Deleted, Doctor, Labelled, Runs
from prunekit.config.recipe import RECIPE_VERSION
from prunekit.experiments.archive.manifest import VERSION

DRAFT = "https://json-schema.org/draft/2020-12/schema"


DOCUMENTS: dict[str, Any] = {
    "models": Models,
    "inspect": Inspected,
    "prune": Result,
    "sweep": Sweep | Furthest,
    "sensitivity": Sensitivity,
    "search": Search,
    "latency": Latency,
    "runs": Runs,
    "runs-label": Labelled,
    "runs-delete": Deleted,
    "compare": Compared,
    "apply": Applied,
    "export": Exported | ExportedFolder | ExportedGraph,
    "import": Imported,
    "check": Checked,
    "doctor": Doctor,
    "recipe": Recipe,
    "archive-manifest": Manifest,
    "archive-result": ArchivedResult,
}
"""By the name of the file in ``docs/schemas``: what it describes."""


def schema(name: str, strict: bool = False) -> Schema:
    """Return the JSON Schema of a document.

    Parameters
    ----------
    name : str
        One of `DOCUMENTS`.
    strict : bool
        Refuse keys that are not described.
    """
    known = Definitions(strict)
    found = known.of(DOCUMENTS[name])
    for holder, key, value in (("Recipe", "version", RECIPE_VERSION), ("Manifest", "prunekit_archive", VERSION)):
        if holder in known.known:
            known.known[holder]["properties"][key]["const"] = value
    return {"$schema": DRAFT, "title": f"prunekit {name}", **found, "$defs": dict(sorted(known.known.items()))}


__all__ = ["DOCUMENTS", "schema"]
