"""``python -m prunekit.training.samples NAME``: train a sample again; writes its weights and its card.

The training split alone is learned from, the last epoch is taken, and the test set only confirms.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import save
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from prunekit.data.dataset import Data, Split
from prunekit.data.load import load_data
from prunekit.evaluation.accuracy import evaluate
from prunekit.evaluation.quality import Evaluation
from prunekit.models.info import ModelInfo, info, remember
from prunekit.models.load import load_model
from prunekit.tasks.base import PLAIN
from prunekit.tasks.input_form import form_of, zeros
from prunekit.training import picture_samples, table_samples, text_samples
from sample_models import FOLDERS, HERE, SAMPLES, Sample, read_card, weights_path
from sample_models.fit import fit

MOST_BYTES = 5_000_000


def main(arguments: list[str] | None = None) -> None:
    """Train one sample as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m prunekit.training.samples", description="Train a sample model again.")
    kinds = (table_samples, text_samples, picture_samples)
    names = [*SAMPLES, *(name for kind in kinds for name in kind.NAMES)]
    parser.add_argument("name", choices=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--data", help="images to train on: the sample's own (the default), or imagefolder:PATH with the same classes")
    parser.add_argument("--epochs", type=int, help="passes over the training split (default: the recipe's)")
    parser.add_argument("--checkpoint-dir", type=Path, help="of images: write a checkpoint there after each epoch, and go on from it")
    parser.add_argument("--threads", type=int, help="threads that torch uses (default: torch's own number; 1 but for images)")
    parser.add_argument("--out", type=Path, default=HERE, help="folder that gets weights and card, where sample_models has them")
    options = parser.parse_args(arguments)
    if options.name not in SAMPLES:
        pictured = options.name in picture_samples.NAMES
        if options.data or (options.checkpoint_dir and not pictured):
            parser.error("--data and --checkpoint-dir are for samples of images")
        torch.set_num_threads(options.threads or 1)
        if pictured:
            checkpoint = None if options.checkpoint_dir is None else options.checkpoint_dir / f"{options.name}.pt"
            model, told, minutes = picture_samples.trained(options.name, options.epochs, checkpoint)
        else:
            by = next(kind for kind in kinds if options.name in kind.NAMES)
            model, told, minutes = by.trained(options.name, options.epochs)
        card = write(options.out, options.name, model, {**told, **cost(model, minutes)})
    else:
        if options.threads:
            torch.set_num_threads(options.threads)
        sample = SAMPLES[options.name]
        if options.epochs:
            sample = replace(sample, recipe=replace(sample.recipe, epochs=options.epochs))
        card = train(sample, options.data or sample.data, options.out, options.checkpoint_dir)
    print(yaml.safe_dump(card, sort_keys=False, allow_unicode=True))


def train(sample: Sample, data_name: str, out: Path, checkpoint_dir: Path | None = None) -> dict[str, Any]:
    """Train a sample of images, write its weights and its card under ``out``, and return the card."""
    data = _data(sample, data_name)
    if data.train is None or data.validation is None:
        raise SystemExit(f"{data_name} has no training images")
    x, y = _tensors(data.train)
    fill = torch.tensor([-m / s for m, s in zip(sample.mean, sample.std, strict=True)])
    checkpoint = None if checkpoint_dir is None else checkpoint_dir / f"{sample.name}.pt"
    taught_by = _teachers(sample)
    model, minutes = fit(
        sample.build, x, y, fill, sample.recipe, checkpoint=checkpoint, teacher=load_model, say=lambda line: print(line, flush=True)
    )
    card = _card(sample, data, model, minutes, data_name)
    if taught_by:
        card["recipe"]["teaching"]["teachers"] = taught_by
    return write(out, sample.name, model, card)


def _teachers(sample: Sample) -> list[dict[str, str]]:
    """Return whom the sample learns from: names, and the hash of the weights that they have now."""
    names = () if sample.recipe.teaching is None else sample.recipe.teaching.teachers
    return [{"name": name, "weights_sha256": hashlib.sha256(weights_path(name).read_bytes()).hexdigest()} for name in names]


def _data(sample: Sample, name: str) -> Data:
    """Return the data in the form that the sample expects."""
    card = {"jpeg_quality": sample.jpeg_quality}
    known = ModelInfo(None, sample.input_shape, sample.mean, sample.std, sample.input_shape[-1], sample.data, sample.classes, card)
    return load_data(name, model=remember(nn.Identity(), known))


def _tensors(split: Split) -> tuple[Tensor, Tensor]:
    """Return all images, normalised, and their labels."""
    pairs = list(split.batches(1000))
    return torch.cat([x for x, _ in pairs]), torch.cat([y for _, y in pairs])


def _accuracy(accuracy: Evaluation) -> dict[str, float | int]:
    """Return an accuracy with its 95 % Wilson interval, as it stands in a card."""
    value, low, high = (round(v, 6) for v in (accuracy.value, accuracy.low, accuracy.high))
    return {"value": value, "low": low, "high": high, "n": accuracy.n}


def _card(sample: Sample, data: Data, model: nn.Module, minutes: float, data_name: str) -> dict[str, Any]:
    """Return the card: what was trained on what, how, and what came out."""
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    recipe = sample.recipe.to_dict()
    seed = recipe.pop("seed")
    return {
        "name": sample.name,
        "title": sample.title,
        "task": sample.task,
        "data": sample.data,
        "trained_on": data_name.partition(":")[0],
        "jpeg_quality": sample.jpeg_quality,
        "pixels": _pixels(sample, data, data_name),
        "splits": {name: len(split) for name, split in splits.items() if split is not None},
        "input_shape": list(sample.input_shape),
        "mean": list(sample.mean),
        "std": list(sample.std),
        "classes": list(sample.classes),
        "recipe": recipe,
        "seed": seed,
        "selection": "the last epoch; the validation split was not trained on, the test set only confirms",
        "test_accuracy": _accuracy(evaluate(model, data.test)),
        "validation_accuracy": None if data.validation is None else _accuracy(evaluate(model, data.validation)),
        **cost(model, minutes),
    }


def _pixels(sample: Sample, data: Data, data_name: str) -> str:
    """Return which pixels exactly, in words."""
    if data_name == sample.data or sample.jpeg_quality is None:
        return data.pixels
    title = "CIFAR-10" if sample.data == "cifar10" else sample.data
    return (
        f"{title}'s images from a copy of JPEG files (quality {sample.jpeg_quality}, 4:2:0), values 0 to 255 divided by 255. "
        f"Such pixels are a little harder than the published ones, which re-encoded as JPEG of that quality are the same."
    )


def cost(model: nn.Module, minutes: float) -> dict[str, Any]:
    """Return what the model and its training cost; MACs are half of what torch's own counter calls FLOPs."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        PLAIN.forward(model, zeros(model, form_of(model, info(model).input_shape), 1))
    return {
        "params": sum(p.numel() for p in model.parameters()),
        "macs": int(counter.get_total_flops()) // 2,
        "torch": torch.__version__.partition("+")[0],
        "threads": torch.get_num_threads(),
        "training_minutes": math.ceil(minutes * 10) / 10,
        "date": datetime.now(UTC).date().isoformat(),
    }


def write(out: Path, name: str, model: nn.Module, card: dict[str, Any]) -> dict[str, Any]:
    """Write weights and card, and return the card, which says whose it is."""
    weights, cards = out / "weights" / f"{name}.safetensors", out / "cards" / f"{name}.yaml"
    if name in FOLDERS:
        weights, cards = out / name / "weights.safetensors", out / name / "card.yaml"
    for path in (weights, cards):
        path.parent.mkdir(parents=True, exist_ok=True)
    payload = save({key: value.contiguous() for key, value in model.state_dict().items()})
    if len(payload) > MOST_BYTES:
        raise SystemExit(f"the weights are {len(payload)} bytes, more than {MOST_BYTES}: make the sample smaller")
    card = {**card, "weights_bytes": len(payload), "weights_sha256": hashlib.sha256(payload).hexdigest()}
    weights.write_bytes(payload)
    cards.write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=140), encoding="utf-8")
    read_card.cache_clear()
    return card


if __name__ == "__main__":
    main()
