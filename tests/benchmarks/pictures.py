"""Half the MACs of a sample that reads annotated pictures: removed or as zeros, fine-tuned, compared in pairs, timed in every runtime.

    python tests/benchmarks/pictures.py canvas_detector --json detector.json

Both ways leave half the MACs, counted; both learn for the same epochs from the training pictures, half of the loss from the dense model's
answers. What has been measured is read from the JSON and not measured again; the table goes into docs/results.md.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import prunekit
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.quality import Evaluation
from prunekit.latency.report import Candidate
from prunekit.pruning import prune
from prunekit.runtimes.backends import RUNTIMES
from prunekit.tasks.observations import Observations
from prunekit.training.fine_tuning import fine_tune
from sample_models import card
from tests.benchmarks import runtimes
from tests.benchmarks.results_page import part, write_part

MARK = "<!-- pictures: written by tests/benchmarks/pictures.py -->"
MOST_LOST = 3
SETTINGS = {
    "half the MACs removed": PruneSpec(mode="structured", sparsity=0.5, target="macs"),
    "half the weights zero": PruneSpec(mode="unstructured", scope="uniform", sparsity=0.5),
}


def told(found: Evaluation, dense: Observations | None = None) -> dict[str, Any]:
    """Return every metric with its interval, and the headline's paired difference from the dense model."""
    row = {"metrics": found.document()["metrics"]}
    if dense is not None:
        apart = found.metric.compare(dense, found.observations)
        row["difference"] = {"value": apart.value, "low": apart.low, "high": apart.high, "significant": apart.significant}
    return row


def measured(name: str, place: Path, recovery: Recovery, budget: float) -> dict[str, Any]:
    """Measure what is not in the file yet, and return all of it."""
    found: dict[str, Any] = json.loads(place.read_text()) if place.is_file() else {}

    def keep(what: str, row: dict[str, Any]) -> None:
        found[what] = row
        place.write_text(json.dumps(found, indent=1))
        print(what, json.dumps(row)[:400], flush=True)

    if "latency" in found:  # the last that is measured
        return found
    model = prunekit.load_model(name)
    data = prunekit.load_data(prunekit.DataId(str(prunekit.info(model).data)), model=model)
    held = place.with_suffix(".npz")  # what comparisons need of the dense model
    if "dense" not in found or not held.is_file():
        seen = prunekit.evaluate(model, data.test)
        held.write_bytes(seen.observations.to_bytes())
        keep("dense", told(seen))
    dense = Observations.from_bytes(held.read_bytes())
    ready = {"dense": model}
    for setting, spec in SETTINGS.items():
        kept = place.with_name(f"{place.stem}-{spec.mode}.pt")
        result = prune(model, spec, data)
        if setting not in found:
            keep(setting, told(prunekit.evaluate(result.model, data.test), dense))
        again = f"{setting}, recalibrated"
        if again not in found:
            keep(again, told(prunekit.evaluate(prunekit.recalibrate(result.model, data), data.test), dense))
        tuned = f"{setting}, fine-tuned"
        if tuned not in found or not kept.is_file():
            begun = time.process_time()
            begin = prunekit.recalibrate(result.model, data) if recovery.recalibrate else result.model
            model_of = fine_tune(begin, data, recovery, masks=result.masks, teacher=model).model
            spent = time.process_time() - begun
            torch.save(model_of, kept)
            row = told(prunekit.evaluate(model_of, data.test), dense)
            sizes = {"macs": [result.before.macs, result.after.effective_macs], "parameters": [result.before.params, result.after.nonzero]}
            keep(tuned, {**row, **sizes, "epochs": recovery.epochs, "processor_s": spent})
        ready[setting] = torch.load(kept, weights_only=False)
    macs = {setting: found[f"{setting}, fine-tuned"]["macs"] for setting in SETTINGS}
    rows = [Candidate(each, ready[each], macs[each][1] if each in macs else next(iter(macs.values()))[0]) for each in ready]
    keep("latency", runtimes.measured(rows, tuple(prunekit.info(model).input_shape), data, data.test.subset(500), budget, tuple(RUNTIMES)))
    return found


def page(name: str, found: dict[str, Any]) -> str:
    """Return the sample's part of docs/results.md."""
    known = found["dense"]["metrics"]
    units = {"%": 100}
    lines = [f"### {name}: half the MACs", "", "| model | " + " | ".join(known) + " | difference in points | MACs | parameters |"]
    lines.append("|" + "---|" * (len(known) + 4))
    for what, row in found.items():
        if what == "latency":
            continue
        cells = []
        for metric in known:
            one = row["metrics"].get(metric)
            value = units.get(one["unit"], 1) if one else 1
            cells.append(f"{value * one['value']:.1f} ({value * one['low']:.1f} to {value * one['high']:.1f})" if one else "")
        apart = row.get("difference")
        said = "" if apart is None else f"{100 * apart['value']:+.1f} ({100 * apart['low']:+.1f} to {100 * apart['high']:+.1f})"
        said += "" if apart is None or apart["significant"] else ", not significant"
        fewer = [f"{row[key][0] / row[key][1]:.2f}x fewer" if key in row else "" for key in ("macs", "parameters")]
        lines.append("| " + " | ".join([what, *cells, said, *fewer]) + " |")
    tuned = {setting: found[f"{setting}, fine-tuned"] for setting in SETTINGS}
    trained = card(name)["recipe"]
    told_steps = f"{sum(cycle['steps'] for cycle in trained.get('cycles', ())):,} batches of {trained['batch_size']}"
    minutes = ", ".join(f"{row['processor_s'] / 60:.0f}" for row in tuned.values())
    lines += [
        "",
        f"Fine-tuned for {next(iter(tuned.values()))['epochs']} epochs ({minutes} minutes of one processor core), where "
        f"the dense model had {trained.get('epochs', told_steps)}.",
    ]
    for setting, row in tuned.items():
        lost = -100 * row["difference"]["value"]
        verdict = "as was asked" if lost <= MOST_LOST else f"**more than the {MOST_LOST} that were asked**"
        lines.append(f"{setting[:1].upper()}{setting[1:]}: {lost:.1f} points of {next(iter(known))} lost after recovery, {verdict}.")
    turn = found["latency"]["turns"][0]
    lines += ["", *runtimes.table(found["latency"]), "", f"{turn['rounds']} rounds, {found['latency']['date']}; {turn['stopped']}."]
    return "\n".join(lines) + "\n"


HEAD = f"""## Detection and segmentation

Intervals (95 %) and differences resample images, the same for both models. Script: `tests/benchmarks/pictures.py`, one thread,
{platform.machine()}, torch {torch.__version__.partition("+")[0]}. Half the weights as zeros, an equal share of each layer, leave half of
the multiplications that count; removed are channels by L1 magnitude, pyramid and heads with them, and proved. Other work ran beside it.
"""


def main() -> None:
    """Measure and write the page's part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--recalibrate", action="store_true", help="before fine-tuning")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of turns")
    parser.add_argument("--write", action="store_true", help="write the page's part, too")
    args = parser.parse_args()
    torch.set_num_threads(1)
    recovery = Recovery(
        epochs=args.epochs, batch_size=args.batch, optimizer="adam", lr=1e-3, weight_decay=0.0, distill=0.5, temperature=2.0
    )
    found = measured(args.name, args.json, replace(recovery, recalibrate=args.recalibrate), args.budget)
    own = page(args.name, found)
    print(own)
    if args.write:
        parts = {each.partition(":")[0]: f"### {each}" for each in part(MARK).split("### ")[1:]} | {args.name: own}
        write_part(MARK, HEAD + "\n" + "\n".join(each.strip() + "\n" for each in parts.values()))


if __name__ == "__main__":
    main()
