"""Which code may build an imported model: what is part of prunekit, of torchvision, or was here and trusted before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from prunekit.catalog.factories import is_factory, split_name
from prunekit.catalog.ids import ModelId
from prunekit.catalog.registry import registered_models
from prunekit.catalog.zoo import PREFIX, torchvision_names
from prunekit.errors import ModelError, PrunekitError
from prunekit.runs.archive.contents import ArchiveError
from prunekit.runs.archive.manifest import Manifest
from prunekit.runs.store import RunStore
from sample_models import SAMPLES


def architecture_of(manifest: Manifest, store: RunStore, factory: str | None = None) -> str:
    """Return by what the model of an archive is built here.

    Parameters
    ----------
    manifest : Manifest
        Of the archive.
    store : RunStore
        Whose runs tell which factories were used here before.
    factory : str, optional
        ``path/to/file.py:factory`` that the person trusts.

    Raises
    ------
    ArchiveError
        If the architecture is unknown, or its code is not here already: what lies in an archive is never run.
    """
    name = manifest.architecture
    if name in SAMPLES or (name.startswith(PREFIX) and name.removeprefix(PREFIX) in torchvision_names()):
        return name
    if not is_factory(name):
        raise ArchiveError(
            f"the archive was made from {name[:200]!r}, which is no model of prunekit or torchvision here: install the versions it names"
        )
    return _factory(manifest, store, factory)


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
        f"unpack {code}, read it, and if you trust it run prunekit import with --model path/to/{code}:{attribute}, or start prunekit app "
        "with it"
    )


def _known(store: RunStore) -> Iterator[str]:
    """Yield the factories that were named at launch, or that runs were made from here."""
    yield from (model.name for model in registered_models() if is_factory(model.name))
    for run in store.runs(limit=100_000):
        name = str(run.model.get("name", ""))
        if is_factory(name):
            yield ModelId(name).name


def _digest(name: str) -> str:
    """Return the sha256 of a factory's file; "" where it is not there."""
    try:
        return hashlib.sha256(Path(split_name(name, ModelError)[0]).read_bytes()).hexdigest()
    except (PrunekitError, OSError):
        return ""
