"""Archives for tests: whole ones made without torch's exporter, and forged ones."""

import contextlib
import hashlib
import io
import json
import warnings
import zipfile
from pathlib import Path

import pytest

from prunekit.config.ids import DataId, ModelId
from prunekit.config.spec import PruneSpec
from prunekit.experiments.archive import exporting
from prunekit.experiments.archive.assembling import assemble, complete, pack
from prunekit.experiments.archive.gathering import gather
from prunekit.experiments.archive.manifest import MANIFEST
from prunekit.experiments.load_run import open_run
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.store import RunStore
from prunekit.experiments.sweep_run import measure_one

STRUCTURED = PruneSpec(mode="structured", sparsity=0.5)


def run_of(store, model="digits_mlp", spec=STRUCTURED, data="digits", limit=60):
    return measure_one(AccuracyRequest(ModelId(model), DataId(data, limit=limit), spec, split="test"), store).run


def plain(store, run, folder, notes=()):
    """Write an archive without the forms that torch's exporter makes, and return its bytes."""
    opened = open_run(run, store)
    made = assemble(folder / "made", opened, gather(opened), store)
    complete(made, notes)
    pack(made.folder, folder / "plain.zip")
    return (folder / "plain.zip").read_bytes()


@contextlib.contextmanager
def no_exporter():
    """Leave out torch's exporter, which takes most of the time, where it is load.py and what stands beside it that are asked about."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting, "make_forms", lambda *_: {name: {"error": "not now", "batch": 0} for name in exporting.FORMS})
        yield


def files_of(payload):
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(files, change=lambda entry: entry, kind=zipfile.ZIP_DEFLATED):
    """Return a zip file of names (or ZipInfo) and bytes; a name may come twice."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that comes twice
        for name, content in files.items() if isinstance(files, dict) else files:
            entry = name if isinstance(name, zipfile.ZipInfo) else zipfile.ZipInfo(name)
            entry.compress_type = kind
            archive.writestr(change(entry), content)
    return buffer.getvalue()


def forged(files, **told):
    """Return files with a manifest that fits them: what somebody would make who means harm."""
    manifest = json.loads(files[MANIFEST])
    rest = {name: content for name, content in files.items() if name != MANIFEST}
    manifest["files"] = {name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)} for name, content in rest.items()}
    return {MANIFEST: json.dumps({**manifest, **told}).encode(), **rest}


def store_in(folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    return RunStore(Path(folder) / "runs.sqlite")
