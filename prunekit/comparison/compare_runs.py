"""`compare_runs`: from ids of runs to the comparison, out of what the store holds; nothing is measured here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from prunekit.comparison.answer import answer
from prunekit.comparison.columns import Column, Speed
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.metrics import FEWEST, MOST, letters, quality_of
from prunekit.comparison.settings import caution, differing, setting_rows
from prunekit.comparison.shown_figures import by_runtime, eligible, most_measured, on_these, shipped, speeds
from prunekit.config.ids import DataId
from prunekit.errors import PrunekitError
from prunekit.evaluation.paired import compare
from prunekit.evaluation.quality import DENSE, Evaluation
from prunekit.evaluation.sizes import comparable, outdated
from prunekit.experiments.home import weights_folder
from prunekit.experiments.identity import run_id
from prunekit.experiments.records import Measurement, Run
from prunekit.experiments.run_list import EARLIER, zero_or_gone
from prunekit.experiments.store import RunStore
from prunekit.experiments.stored_metric import Shown, shown
from prunekit.models.cost import share_of_all
from prunekit.models.folder import is_folder

ORPHANS = "the dense model has no run in this store: measure its accuracy here, and it has one"
COUNTS = ("params", "nonzero", "macs", "effective_macs")


def compare_runs(run_ids: Sequence[str], store: RunStore, *, data: DataId | str | None = None, split: str = "test") -> Comparison:
    """Put two to six runs of one dense model side by side, from what was measured so far.

    Accuracy is taken on the same images for all: the data on which most of them were measured, and the most images among equals.

    Parameters
    ----------
    run_ids : sequence of str
        Ids, or prefixes of at least six digits, or names; ``dense`` is the dense model of the others. Its own run stands as the baseline,
        picked or not.
    store : RunStore
        Where they are kept.
    data : DataId or str, optional
        Only measurements on these data (a name: whatever their limit and size).
    split : {"test", "validation", "train"}
        Which part of them.

    Returns
    -------
    Comparison

    Raises
    ------
    PrunekitError
        If fewer than two or more than six runs are given, or they were made from different dense models.
    StoreError
        If a run is not known.
    """
    runs = picked(run_ids, store)
    dense, kept = _baseline(runs, store)
    runs = [run for run in runs if run.id != dense.id]
    named = letters([run.id for run in runs], dense.id)
    seen = {run.id: store.measurements(run.id) for run in (dense, *runs)}
    fit = {run.id: eligible(run, seen[run.id], data, split) for run in (dense, *runs)}
    chosen = most_measured(list(fit.values()))
    timed = {name: tuple(m for m in found if m.what == "latency") for name, found in seen.items()}
    fast, each_runtime = speeds(timed, dense.id), by_runtime(timed, dense.id)
    found = {name: on_these(each, chosen) for name, each in fit.items()}
    columns = [_measured(_column(run, named[run.id], dense), found[run.id], timed[run.id], fast.get(run.id)) for run in (dense, *runs)]
    columns = [replace(column, speeds=each_runtime.get(column.run.id, ()), name=store.label(column.run.id).name) for column in columns]
    columns[0] = columns[0] if kept else replace(columns[0], gone=ORPHANS)
    return _together([_paired(column, columns[0].accuracy) for column in columns], named, chosen, split, fit)


def picked(run_ids: Sequence[str], store: RunStore) -> list[Run]:
    """Return the runs of some ids, prefixes or names, each once; ``dense`` is the dense model of the first that is another."""
    others = [store.find(each) for each in run_ids if each.strip().lower() != DENSE.lower()]
    found = iter(others)
    named = [_baseline(others, store)[0] if each.strip().lower() == DENSE.lower() and others else next(found, None) for each in run_ids]
    runs = list({run.id: run for run in named if run is not None}.values())
    if not FEWEST <= len(runs) <= MOST:
        raise PrunekitError(f"pick {FEWEST} to {MOST} different runs to compare; got {len(runs)}")
    if len({run.weights for run in runs}) > 1 or not runs[0].weights:
        names = ", ".join(sorted({str(run.model.get("name", "?")) for run in runs}))
        raise PrunekitError(
            f"these runs come from different dense models, or from other weights or code of one ({names}): pick runs of one model, so that "
            "they have one baseline"
        )
    return runs


def _baseline(runs: Sequence[Run], store: RunStore) -> tuple[Run, bool]:
    """Return the dense model's run, and whether it is in the store; an imported run may have come without it."""
    name = run_id(runs[0].weights, None, None)
    found = store.get_run(name)
    model = runs[0].model
    return (found, True) if found is not None else (Run(name, "dense", str(model.get("name", "")), model, runs[0].weights), False)


def _column(run: Run, letter: str, dense: Run) -> Column:
    """Return what a run itself says."""
    shares = {"sparsity": sparsity_of(run, dense), "of_all": of_all(run, dense)}
    counts: dict[str, Any] = {**{name: run.info.get(name) for name in COUNTS}, **shares}
    return Column(run, letter, run.title, **counts, sizes=comparable(run.info.get("sizes")), shipped=shipped(run), gone=gone(run))


def _measured(column: Column, seen: Measurement | None, timed: tuple[Measurement, ...], speed: Speed | None) -> Column:
    """Return a column with what was measured of its run."""
    earlier = column.run.earlier if seen is None else seen.earlier
    return replace(column, accuracy=None if seen is None else seen.evaluation, latency=timed, speed=speed, earlier=earlier)


def _vouched(columns: Sequence[Column]) -> str:
    """Say which columns are an earlier version's."""
    old = [column.letter for column in columns if column.earlier]
    if not old:
        return ""
    which = old[0] if len(old) == 1 else f"{', '.join(old[:-1])} and {old[-1]}"
    return f"{which} {'was' if len(old) == 1 else 'were'} {EARLIER}: what of and on what cannot be vouched for"


def sparsity_of(run: Run, dense: Run) -> float | None:
    """Return the share of the dense model's prunable weights that are zero or gone in a run; None where that is not known."""
    return zero_or_gone(run.info, dense.info)


def of_all(run: Run, dense: Run) -> float | None:
    """Return the share of all parameters of the dense model that are gone or zero in a run; None where that is not known."""
    whole, params, nonzero = dense.info.get("params"), run.info.get("params"), run.info.get("nonzero")
    return None if not whole or params is None or nonzero is None else share_of_all(whole, params, nonzero)


def _paired(column: Column, dense: Evaluation | None) -> Column:
    """Return a column with its difference from the dense model, where both were measured on the same images."""
    if column.accuracy is None or dense is None or column.letter == DENSE:
        return column
    try:
        return replace(column, difference=compare(dense, column.accuracy))
    except PrunekitError:  # the task is gone: said in `_apart`
        return column


def _apart(columns: Sequence[Column], fit: Mapping[str, Sequence[Measurement]]) -> str:
    """Say which runs are not compared in quality: they were measured in another metric, or nobody can compute it any more."""
    metric = quality_of(column.accuracy for column in columns)
    other = {
        column.letter: shown(fit[column.run.id][0].metric or {}, "").phrase
        for column in columns
        if column.accuracy is None and fit.get(column.run.id) and fit[column.run.id][0].metric
    }
    other = {letter: noun for letter, noun in other.items() if noun != metric.phrase}
    told = [f"{letter} was measured in {noun}, not in {metric.phrase}: these are not compared" for letter, noun in other.items()]
    if isinstance(metric, Shown):
        seen = next(column.accuracy for column in columns if column.accuracy is not None)
        try:
            metric.compare(seen.observations, seen.observations)
        except PrunekitError as error:
            told.append(str(error))
    return ". ".join(told)


def gone(run: Run) -> str:
    """Return why a run cannot be opened any more, "" where its files are there (or where it can be made again)."""
    folder = weights_folder(run.id)
    there = {"recovered": is_folder(folder), "imported": folder.is_dir(), "quantised": (folder / "model.int8.onnx").is_file()}
    return "" if there.get(run.kind, True) else f"the weights of run {run.id[:12]} are not in {folder}: make it again"


def _together(
    columns: Sequence[Column], named: Mapping[str, str], chosen: Measurement | None, split: str, fit: Mapping[str, Sequence[Measurement]]
) -> Comparison:
    """Return the comparison of some columns, the dense model first."""
    baseline, rest = columns[0], tuple(columns[1:])
    rows = setting_rows([column.run for column in rest], named)
    names, found = differing(rows), answer(baseline, rest)
    told = ". ".join(filter(None, (caution(names, [column.letter for column in rest]), _vouched(columns), _apart(columns, fit))))
    lacking = tuple(c.run.id for c in columns if c.accuracy is None or c.sizes is None or c.earlier or outdated(c.run.info.get("sizes")))
    data, images = (None, 0) if chosen is None else (chosen.data, chosen.n)
    name = "" if data is None else str(data["name"])
    return Comparison(baseline, rest, rows, names, told, found.sentence, found.best, name, data, split, images, lacking)
