"""What people take away: the folder of ``--out`` as a zip file, and the command line of the same setting."""

from __future__ import annotations

import io
import shlex
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import streamlit as st

from prunekit import catalog, measure
from prunekit.catalog import Data
from prunekit.spec import PruneSpec, Recipe
from prunekit.ui import costs, measuring, store
from prunekit.ui.costs import Measured
from prunekit.ui.cuts import View
from prunekit.ui.settings import Settings
from prunekit.ui.store import Loaded
from prunekit.ui.uploads import uploads


def name_of(loaded: Loaded, spec: PruneSpec) -> str:
    """Return what the folder is called."""
    base = loaded.source.name.rpartition("/")[2].replace(":", "-")
    return f"{base}-{spec.mode}-{100 * (spec.sparsity or 0):g}"


def archive(now: Settings, loaded: Loaded, view: View, data: Data | None, found: Measured | None) -> bytes:
    """Return the zipped folder that ``prunekit prune --out`` writes: weights, recipe and result.

    Accuracy is in it if it has been measured, or if measuring it takes no longer than about a second.
    """
    result = costs.carry_out(loaded, view)
    assessment = found.assessment if found is not None and (found.accuracy is not None or data is None) else None
    if assessment is None:
        quick = data is not None and store.counts_of(loaded.source).macs * len(data.test) <= measuring.QUICK
        split = data.test if data is not None and quick else None
        assessment = measure.assess(loaded.model, result, split, gzip=costs.is_small(loaded))
    model, of_data = loaded.info.id, data.id.to_dict() if data is not None else None
    plain = model.to_dict() if model is not None else {"name": loaded.source.name}
    document = measure.document(result, assessment, plain, of_data)
    with tempfile.TemporaryDirectory(prefix="prunekit-download-") as private:
        folder = catalog.write_folder(Path(private) / name_of(loaded, view.spec), result.model, Recipe(plain, of_data, view.spec), document)
        return _zip(Path(folder))


def _zip(folder: Path) -> bytes:
    """Return a folder as a zip file; weights hardly compress, so they are stored."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as file:
        for path in sorted(folder.iterdir()):
            file.write(path, f"{folder.name}/{path.name}")
    return buffer.getvalue()


def download(now: Settings, loaded: Loaded, view: View | None, data: Data | None) -> None:
    """Show the button; the archive is made when it is pressed."""
    found = costs.measured(now, loaded, view.spec) if view is not None else None
    st.download_button(
        "Download", data=partial(archive, now, loaded, view, data, found) if view is not None else b"", key="download", disabled=view is None,
        file_name=f"{name_of(loaded, view.spec)}.zip" if view is not None else None, mime="application/zip", icon=":material/download:", on_click="ignore",
        help="The same folder as `prunekit prune --out`: model.safetensors, recipe.yaml, result.json. `prunekit.load_model(folder)` opens it again.",
    )  # fmt: skip


def command(now: Settings, loaded: Loaded, spec: PruneSpec) -> str:
    """Return the command line that does the same.

    Parameters
    ----------
    now : Settings
        The picks.
    loaded : Loaded
        The model.
    spec : PruneSpec
        The setting.
    """
    entry = store.entry_of(loaded.source.name)
    words = ["prunekit", "prune", entry.id.name]
    if entry.id.weights:
        words += ["--weights", entry.id.weights]
    if now.upload:
        file = uploads().get(now.upload)
        words += ["--weights", file.name if file is not None else "WEIGHTS"]
    if loaded.source.pretrained:
        words.append("--pretrained")
    data = store.data_name(now, loaded)
    if data != store.NO_DATA:
        words += ["--data", store.registered_data()[data].name if data in store.registered_data() else data]
    if now.limit:
        words += ["--limit", str(now.limit)]
    return shlex.join([*words, *_setting(spec), "--out", name_of(loaded, spec)])


def _setting(spec: PruneSpec) -> list[str]:
    """Return the words of a pruning setting."""
    words = ["--mode", spec.mode, "--sparsity", f"{spec.sparsity:g}", "--criterion", spec.criterion, "--scope", spec.scope]
    if spec.layers is not None:
        words += ["--layers", ",".join(spec.layers)]
    for name, share in spec.overrides:
        words += ["--override", f"{name}={share:g}"]
    return [*words, "--seed", str(spec.seed)] if spec.seed else words


def copy_as_command(now: Settings, loaded: Loaded, spec: PruneSpec) -> None:
    """Show the command line behind a button."""
    with st.popover("Copy as command", icon=":material/terminal:"):
        st.markdown("The same setting on the command line:")
        st.code(command(now, loaded, spec), language="shell", wrap_lines=True)
