"""Taking an archive in as a run, without running anything that is in it."""

from __future__ import annotations

import itertools
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from prunekit.config.ids import ModelId
from prunekit.config.recipe import Recipe
from prunekit.experiments.archive.allow_list import architecture_of, check_graph, trusted_recipe
from prunekit.experiments.archive.assembling import NOTHING
from prunekit.experiments.archive.manifest import BESIDE, INT8, RECIPE, RESULT, SAMPLES, WEIGHTS, ArchiveError, Manifest
from prunekit.experiments.archive.reader import recipe_in, unpack
from prunekit.experiments.archive.result_file import figures_of, name_in, result_in
from prunekit.experiments.archive.samples import Samples
from prunekit.experiments.home import store as usual_store
from prunekit.experiments.home import weights_folder
from prunekit.experiments.identity import digest, run_id
from prunekit.experiments.records import Label, Run
from prunekit.experiments.store import RunStore
from prunekit.models.cost import count
from prunekit.models.drafts import draft, put
from prunekit.models.folder import stored_architecture, write_folder
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.models.running import outputs_of
from prunekit.models.state import state_hash
from prunekit.tasks.input_form import form_of

NEEDED = (WEIGHTS, BESIDE, INT8, RECIPE, RESULT, SAMPLES)


def import_archive(
    source: str | PathLike[str] | bytes,
    store: RunStore | None = None,
    *,
    factory: str | None = None,
    task: str | None = None,
    called: str = "",
) -> Run:
    """Keep the model of an archive as a run of its own.

    Nothing in the archive is executed: weights are tensors, the architecture is built from code that is here already, and the files for
    other runtimes are not opened.

    Parameters
    ----------
    source : path or bytes
        The archive.
    store : RunStore, optional
        Where to keep it; `prunekit.experiments.store` when left out.
    factory : str, optional
        ``path/to/file.py:factory`` that builds the architecture, where that is neither a sample nor torchvision's. Without it a factory is
        looked for among what was registered or used here before.
    task : str, optional
        What it is for, where that is a task of the user's own: a file that an archive names is not run unless it is named here, too, or
        was used here before.
    called : str
        A name for the run; "" for the one that it had where it was exported, unless it has one here.

    Returns
    -------
    Run
        Of the kind "imported", called by the content of the archive: taken in twice it is the same run. What the archive says was
        measured stands in ``info["told"]``.

    Raises
    ------
    ArchiveError
        If the archive is damaged, was tampered with, holds what it should not, or needs code that is not here.
    PrunekitError
        If its recipe is not valid, or it cannot be kept.
    """
    where = usual_store() if store is None else store
    try:
        with tempfile.TemporaryDirectory(prefix="prunekit-import-") as private:
            return _Import(Path(private), where, factory, task, Label("", name=called).name).carry_out(source)
    except OSError as error:
        raise ArchiveError(f"the archive cannot be taken in: {error.strerror or error}. Nothing of it is kept; free some space") from None


@dataclass(frozen=True, eq=False)
class _Import:
    """One import under way: its private folder, and what is known here."""

    private: Path
    store: RunStore
    factory: str | None
    task: str | None
    called: str

    def carry_out(self, source: str | PathLike[str] | bytes) -> Run:
        """Check, build, keep."""
        manifest = unpack(source, self.private, NEEDED)
        recipe, result = trusted(self.private, self.store, self.factory, self.task), result_in(self.private)
        samples = Samples.read(self.private)
        nested = samples is not None and samples.nest is not None
        told = {"told": figures_of(result, manifest), "input_shape": None if nested else list(manifest.input_shape)}
        if INT8 in manifest.files:
            check_graph(self.private / INT8)
            run = self._run(manifest, recipe, {**told, "file": INT8, "bytes": manifest.files[INT8][1]})
            return self._named(self._kept(run, self._keep_graph), result)
        model, recipe = built(self.private, manifest, recipe, self.store, self.factory)
        counts = self._counts(model, manifest)
        run = self._run(manifest, recipe, {**counts, "achieved": counts["sparsity"], "state": state_hash(model), **told})
        return self._named(self._kept(run, lambda folder: write_folder(folder, model, recipe, result)), result)

    def _named(self, run: Run, result: dict[str, Any]) -> Run:
        """Give a run the name that was asked for, or else the one that it had elsewhere, marked where another run here has that."""
        here = self.store.label(run.id).name
        name = self.called or here or name_in(result)
        taken = {label.name for other, label in self.store.labels().items() if other != run.id}
        if name and name in taken and not (self.called or here):
            places = itertools.chain([f"{name}, imported"], (f"{name}, imported {n}" for n in itertools.count(2)))
            name = next(each for each in places if each not in taken)
        if name != here:
            self.store.relabel(run.id, name=name)
        return run

    @staticmethod
    def _counts(model: nn.Module, manifest: Manifest) -> dict[str, Any]:
        """Count what was built: what the archive tells of it is only told."""
        try:
            return asdict(count(model, form_of(model, info(model).input_shape or manifest.input_shape)))
        except (RuntimeError, MemoryError) as error:
            raise ArchiveError(f"the model in the archive does not run: {' '.join(str(error).split())[:200]}") from None

    def _run(self, manifest: Manifest, recipe: Recipe, info: dict[str, Any]) -> Run:
        """Return the run of what is taken in."""
        content = {name: manifest.files[name][0] for name in (WEIGHTS, BESIDE, INT8, RECIPE) if name in manifest.files}
        name = digest({"imported": content, "architecture": manifest.architecture, "code": manifest.files.get(manifest.code, ("",))[0]})
        spec = None if recipe.prune == NOTHING else recipe.prune.to_dict()
        dense = run_id(manifest.weights, None, None)
        return Run(
            name, "imported", f"{manifest.title}, imported", ModelId.from_dict(recipe.model or {"name": manifest.architecture}).to_dict(),
            manifest.weights, spec, None if recipe.recover is None else dict(recipe.recover), manifest.trained_on,
            dense if self.store.get_run(dense) is not None else None, info=info,
        )  # fmt: skip

    def _kept(self, run: Run, write: Callable[[Path], object]) -> Run:
        """Keep weights and run, both or none."""
        folder = weights_folder(run.id)
        there = folder.exists()
        write(folder)
        try:
            self.store.put_run(run)
        except BaseException:
            if not there:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        return self.store.get_run(run.id) or run

    def _keep_graph(self, folder: Path) -> None:
        """Keep a quantised model: its folder appears as a whole."""
        with draft(folder) as beside:
            made = beside / "new"
            made.mkdir()
            for name in (INT8, RECIPE, RESULT):
                shutil.copyfile(self.private / name, made / name)
            if not folder.exists():
                put(made, folder)


def built(folder: Path, manifest: Manifest, recipe: Recipe, store: RunStore, factory: str | None) -> tuple[nn.Module, Recipe]:
    """Return the model of an unpacked archive, of an architecture that is here, and the recipe with the names that it has here."""
    if stored_architecture(folder) != manifest.architecture:
        raise ArchiveError(f"{WEIGHTS} and the manifest of the archive name different architectures: it was changed and is not taken in")
    here = architecture_of(manifest, store, factory)
    _rename(folder / WEIGHTS, here)
    try:
        model = load_model(folder)
    except (RuntimeError, MemoryError) as error:
        raise ArchiveError(f"the model in the archive cannot be built: {' '.join(str(error).split())[:200]}") from None
    samples = Samples.read(folder)
    if samples is not None:
        samples.check(lambda x: outputs_of(model, x))
    for_ = {key: value for key, value in (recipe.model or {}).items() if key == "task"}
    named = recipe.model if (recipe.model or {}).get("name") == here else {**ModelId(here).to_dict(), **for_}
    nested = samples is not None and samples.nest is not None
    shape = recipe.input_shape or (None if nested else manifest.input_shape)
    return model, replace(recipe, model=named, input_shape=shape)


def trusted(folder: Path, store: RunStore, factory: str | None, task: str | None) -> Recipe:
    """Return the recipe of an unpacked archive, without code that nobody named here; what opens the folder reads the same."""
    recipe = trusted_recipe(recipe_in(folder), store, factory, task)
    (folder / RECIPE).write_text(recipe.to_yaml(), encoding="utf-8")
    return recipe


def _rename(path: Path, architecture: str) -> None:
    """Write into the weights' metadata what the architecture is called here."""
    try:
        with safe_open(str(path), framework="pt") as file:
            told = json.loads((file.metadata() or {})["prunekit"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, TypeError, ValueError, RuntimeError) as error:
        raise ArchiveError(f"{WEIGHTS} in the archive is damaged ({' '.join(str(error).split())[:120]}): it is not taken in") from None
    if told["architecture"] != architecture:
        save_file(state, str(path), metadata={"format": "pt", "prunekit": json.dumps({**told, "architecture": architecture})})
