"""What people take away: the folder of ``--out`` as a zip file, and the command line of the same setting."""

from __future__ import annotations

import io
import shlex
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from prunekit import evaluation, models
from prunekit.config.fields import table
from prunekit.config.ids import DataId
from prunekit.config.recipe import Recipe
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data, Split, samples_of
from prunekit.errors import DataError
from prunekit.evaluation.before_after import Assessment
from prunekit.pruning.result import PruneResult
from prunekit.ui.prune import costs
from prunekit.ui.prune.costs import Measured
from prunekit.ui.shared import data_cache, measuring, model_cache
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state.settings import Settings
from prunekit.ui.state.uploads import uploads


def name_of(loaded: Loaded, spec: PruneSpec) -> str:
    """Return what the folder is called."""
    base = loaded.source.name.rpartition("/")[2].replace(":", "-")
    return f"{base}-{spec.mode}-{spec.pattern.replace(':', '-') if spec.pattern else f'{100 * (spec.sparsity or 0):g}'}"


@dataclass(frozen=True, eq=False)
class Order:
    """What to put into an archive, and how; caches have been asked, so that it can be carried out in another thread."""

    name: str
    loaded: Loaded  # the dense model
    make: Callable[[], PruneResult]  # makes the pruned model
    spec: PruneSpec
    data: Data | None
    split: Split | None  # what to measure accuracy on now: only where that takes about a second
    found: Assessment | None  # what has been measured
    gzip: bool  # whether to measure gzipped sizes

    def __call__(self) -> bytes:
        """Return the zipped folder that ``prunekit prune --out`` writes: weights, recipe and result."""
        result = self.make()
        assessment = self.found or evaluation.assess(self.loaded.model, result, self.split, gzip=self.gzip)
        model, of_data = self.loaded.info.id, self.data.id.to_dict() if self.data is not None else None
        plain = model.to_dict() if model is not None else {"name": self.loaded.source.name}
        document = evaluation.document(result, assessment, plain, of_data)
        with tempfile.TemporaryDirectory(prefix="prunekit-download-") as private:
            guess = self.data is None and self.loaded.guessed  # which stays one when the folder is opened
            recipe = Recipe(plain, of_data, self.spec, input_shape=None if guess else result.input_shape)
            return _zip(models.write_folder(Path(private) / self.name, result.model, recipe, document, samples=samples_of(self.data)))


def order(loaded: Loaded, view: View, data: Data | None, found: Measured | None) -> Order:
    """Return what makes the archive of a setting."""
    quick = data is not None and model_cache.counts_of(loaded.source).macs * len(data.test) <= measuring.QUICK
    useful = found is not None and (found.accuracy is not None or data is None)
    return Order(
        name_of(loaded, view.spec), loaded, costs.maker(loaded, view), view.spec, data, data.test if data is not None and quick else None,
        found.assessment if found is not None and useful else None, costs.is_small(loaded),
    )  # fmt: skip


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
        "Download", data=order(loaded, view, data, found) if view is not None else b"",
        key="download", disabled=view is None,
        file_name=f"{name_of(loaded, view.spec)}.zip" if view is not None else None,
        mime="application/zip", icon=":material/download:", on_click="ignore",
        help=(
            "The same folder as `prunekit prune --out`: model.safetensors, recipe.yaml, result.json. "
            "`prunekit.load_model(folder)` opens it again."
        ),
    )  # fmt: skip


def command(now: Settings, loaded: Loaded, spec: PruneSpec) -> str:
    """Return the command line that does the same."""
    entry = model_cache.entry_of(loaded.source.name)
    words = ["prunekit", "prune", entry.id.name]
    if entry.id.weights:
        words += ["--weights", entry.id.weights]
    if now.upload:
        file = uploads().get(now.upload)
        words += ["--weights", file.name if file is not None else "WEIGHTS"]
    if loaded.source.pretrained:
        words.append("--pretrained")
    data = data_cache.data_name(now, loaded)
    if data != data_cache.NO_DATA:
        try:
            asked = data_cache.data_id(data, now.limit, loaded)
        except DataError:  # the page says why
            asked = DataId(data)
        words += ["--data", asked.name]
        for field in ("limit", "size", "mean", "std", "classes"):
            value = getattr(asked, field)
            words += [f"--{field}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)] if value else []
    elif now.given.side:
        words += ["--size", str(now.given.side)]
    return shlex.join([*words, *words_of(spec), "--out", name_of(loaded, spec)])


def words_of(spec: PruneSpec) -> list[str]:
    """Return the words of a pruning setting; beyond mode, amount, criterion and scope only what differs from the defaults."""
    plain = PruneSpec(mode=spec.mode)
    amount = ["--pattern", str(spec.pattern)] if spec.mode == "nm" else ["--sparsity", repr(spec.sparsity)]
    words = ["--mode", spec.mode, *amount, "--criterion", spec.criterion]
    words += [] if spec.mode == "nm" else ["--scope", spec.scope]
    rest = {name: row for name, row in table(PruneSpec).items() if name not in FIRST and getattr(spec, name) != getattr(plain, name)}
    return [*words, *(word for name, row in rest.items() for word in row.kind.words(row.option, getattr(spec, name)))]


FIRST = ("mode", "sparsity", "threshold", "pattern", "criterion", "scope")


def copy_as_command(now: Settings, loaded: Loaded, spec: PruneSpec) -> None:
    """Show the command line behind a button."""
    with st.popover("Copy as command", icon=":material/terminal:"):
        st.markdown("The same setting on the command line:")
        st.code(command(now, loaded, spec), language=None, wrap_lines=True)
