"""``prunekit compare`` and ``prunekit apply``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from prunekit.cli import REFUSED, Refusal
from prunekit.cli.arguments import progress_to, say, to_json
from prunekit.cli.tables import percent, table
from prunekit.comparison.apply_recipe import apply_recipe
from prunekit.comparison.columns import Column
from prunekit.comparison.compare_runs import compare_runs, picked
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.gate import Gate
from prunekit.comparison.metrics import METRICS
from prunekit.comparison.tradeoff import metric_frame
from prunekit.config.ids import DataId, ModelId
from prunekit.errors import PrunekitError
from prunekit.evaluation.sizes import gzip_note
from prunekit.experiments.backfill import fill
from prunekit.experiments.home import store as usual_store
from prunekit.experiments.store import RunStore
from prunekit.formatting import ordinary
from prunekit.models.folder import write_folder
from prunekit.models.info import info
from prunekit.models.load import load_model
from prunekit.tasks.input_form import noted


def compare(args: argparse.Namespace) -> str | Refusal:
    """Put runs side by side; what is missing is measured first, unless only what is stored is wanted. Judge the last where asked."""
    store, gate = usual_store(), Gate(args.fail_below, args.fail_if_lost, args.sure)
    found = compare_runs(args.runs, store, data=args.data, split=args.split)
    if found.missing and not args.stored:
        found = _filled(found, args, store)
    if args.csv is not None:
        _written(args.csv, metric_frame(found).to_csv(index=False))
    if args.html is not None:
        from prunekit.reports.page import report  # noqa: PLC0415 (plotly is only loaded by those who draw)

        _written(args.html, report(found, store))
    if not gate.asked:
        return to_json(found.to_dict()) if args.json else _page(found)
    first, last = (picked([each, *args.runs], store)[0].id for each in (args.runs[0], args.runs[-1]))
    checks = gate.judge(found, first, last)
    judged = {"passed": all(check.passed for check in checks), "checks": [check.to_dict() for check in checks]}
    text = (
        to_json({**found.to_dict(), "gate": judged}) if args.json else "\n".join([_page(found), "", *(check.sentence for check in checks)])
    )
    return text if judged["passed"] else Refusal(text, REFUSED, tuple(check.sentence for check in checks if not check.passed))


def _filled(found: Comparison, args: argparse.Namespace, store: RunStore) -> Comparison:
    """Measure what is missing on the images of the comparison, and compare again."""
    data = _data(found, args.data)
    if data is None:
        say("note", "accuracy is not measured: the model names no data of its own. Give --data")
        return found
    fill(found.to_fill, data, found.split, store, progress=progress_to(sys.stderr), warn=partial(say, "note"))
    return compare_runs(args.runs, store, data=data, split=args.split)


def _data(found: Comparison, named: str | None) -> DataId | None:
    """Return what accuracy is measured on: what was used so far, what was named, or the model's own."""
    if found.data_id is not None:
        return DataId.from_dict(found.data_id)
    own = named or info(load_model(ModelId.from_dict(found.baseline.run.model))).data
    return None if own is None else DataId(own)


def _written(path: str, text: str) -> None:
    """Write a file, whole or not at all."""
    target = Path(path).expanduser()
    part = target.with_name(f".{target.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise PrunekitError(f"cannot write {target}: {error.strerror or error}") from None


def _page(found: Comparison) -> str:
    """Return the comparison as text: the answer, the runs, their figures, their settings."""
    columns, noun = found.all, found.quality.phrase
    on = f"{noun} on {found.images:,} {found.split} {found.units} of {found.data}" if found.images else "accuracy was not measured"
    names = [[c.letter, c.run.id[:12], c.name or None, c.title + (f" (gone: {c.gone})" if c.gone else "")] for c in columns]
    figures: list[list[object]] = [[noun, *map(_quality, columns)], ["against dense", *map(_difference, columns)]]
    figures += [
        [metric.title, *(_figure(name, column) for column in columns)] for name, metric in found.metrics.items() if name != "accuracy"
    ]
    settings = [[("* " if row.differs else "  ") + row.name, None, *row.values] for row in found.settings]
    warnings = [f"! {sentence}." for sentence in (found.caution, *found.doubts) if sentence]
    parts = [f"{found.answer}.", *warnings, "\n".join(found.within_runtimes), table(["", "run", "name", "title"], names)]
    parts.append(table([on, *(column.letter for column in columns)], figures))
    parts.append(table(["settings (* differs)", *(column.letter for column in columns)], settings) if settings else "")
    return "\n\n".join(filter(None, parts))


def _quality(column: Column) -> str:
    """Return the quality with its interval."""
    a = column.accuracy
    return "not measured" if a is None else ordinary(f"{a.text()} ({a.interval() or 'no interval'})")


def _difference(column: Column) -> str | None:
    """Return the paired difference from the dense model."""
    return None if column.difference is None else column.difference.sentence()


def _figure(name: str, column: Column) -> str | None:
    """Return a figure in its unit."""
    value = METRICS[name].value(column)
    note = gzip_note(column.sizes) if name == "gzip" else ""
    return None if value is None else METRICS[name].text(value) + (f" ({note})" if note else "")


def apply(args: argparse.Namespace) -> str:
    """Repeat a run from its recipe, and say whether the same came out."""
    found = apply_recipe(args.recipe, progress=progress_to(sys.stderr))
    if args.out is not None:
        told = found.recipe.data is not None or found.recipe.input_shape is not None  # a guess is none of the recipe's
        shape = noted(found.recovered.result.input_shape) if told else None
        recipe = replace(found.recipe, input_shape=shape)
        write_folder(args.out, found.recovered.model, recipe, found.document)
    if args.json:
        return to_json(found.to_dict())
    lines = [found.sentence, *(f"! {note}" for note in found.notes), *([f"written to {args.out}"] if args.out else [])]
    return "\n".join([_title(found.document), *lines])


def _title(document: dict[str, Any]) -> str:
    """Return what was done in a few words."""
    spec, achieved = document["spec"], document["achieved"]
    return f"{document['model']['name']}   {spec['mode']}, {spec['criterion']}, {percent(achieved['sparsity'])} of its {achieved['unit']}"
