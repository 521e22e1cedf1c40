"""The flags of recovery, and the setting that they make: shared by every command that prunes."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any

from prunekit.config.recovery import OPTIMIZERS, RATES, SCHEDULES, Recovery
from prunekit.errors import SpecError

FLAGS = {
    "images": "recalibration-images",
    "weight_decay": "weight-decay",
    "batch_size": "batch-size",
    "augment": "no-augment",
    "train_images": "train-images",
    "seed": "recovery-seed",
}
"""Fields whose flag is spelled otherwise."""

DEFAULTS = Recovery()


def _as(kind: type, words: str) -> Any:
    """Return a reader of numbers."""

    def read(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {words}") from None

    return read


WHOLE, NUMBER = _as(int, "whole number"), _as(float, "number")


def recovery_flags(parser: argparse.ArgumentParser) -> None:
    """Add what describes a recovery; without any of it nothing is done after pruning."""
    group = parser.add_argument_group("recovery", "What brings accuracy back; it learns from training data alone.")
    add = group.add_argument
    add("--recalibrate", action="store_true", help="measure the statistics of BatchNorm again, on training images")
    add("--recalibration-images", type=WHOLE, metavar="N", help=f"how many (default: {DEFAULTS.images})")
    add("--epochs", type=WHOLE, metavar="N", help="fine-tune over so many epochs, in all (default: 0)")
    add("--lr", type=NUMBER, metavar="R", help=f"peak learning rate (default: {DEFAULTS.lr})")
    falls = "along a cosine, as over the last epochs of the model's own training, or not at all"
    add("--rate", choices=RATES, help=f"how the learning rate falls: {falls} (default: {DEFAULTS.rate})")
    add("--optimizer", choices=OPTIMIZERS, help=f"(default: {DEFAULTS.optimizer})")
    add("--momentum", type=NUMBER, metavar="M", help=f"(default: {DEFAULTS.momentum})")
    add("--weight-decay", type=NUMBER, metavar="D", help=f"(default: {DEFAULTS.weight_decay})")
    add("--batch-size", type=WHOLE, metavar="N", help=f"images a step (default: {DEFAULTS.batch_size})")
    add("--no-augment", action="store_true", help="leave out the shifts and mirrors of the model's own training")
    add("--distill", type=NUMBER, metavar="W", help="weight of the dense model's predictions in the loss, 0 to 1 (default: 0)")
    add("--temperature", type=NUMBER, metavar="T", help=f"softens them (default: {DEFAULTS.temperature:g})")
    add("--schedule", choices=SCHEDULES, help=f"cut once, or ever further with fine-tuning after each cut (default: {DEFAULTS.schedule})")
    add("--steps", type=WHOLE, metavar="N", help="cuts of a gradual schedule")
    add("--train-images", type=WHOLE, metavar="N", help="fine-tune on a fixed stratified subset (default: all)")
    add("--recovery-seed", type=WHOLE, metavar="N", help="seed of the order of images and their augmentation (default: that of --seed)")


def recovery_of(args: argparse.Namespace) -> Recovery:
    """Return the recovery that was asked for.

    Raises
    ------
    SpecError
        If a value is not valid, two of them do not go together, or one has no effect without another; the message names the flag.
    """
    given = {field.name: _given(args, field.name) for field in fields(Recovery)}
    given = {name: value for name, value in given.items() if value is not None}
    _check_needed(given)
    found = Recovery(**{"seed": args.seed, **given})
    return found if found.active else Recovery()


def _given(args: argparse.Namespace, name: str) -> Any:
    """Return what a flag says, None where it was left out."""
    value = getattr(args, FLAGS.get(name, name).replace("-", "_"))
    if name == "augment":
        return False if value else None
    return None if value is False else value


def _check_needed(given: dict[str, Any]) -> None:
    """Raise where a flag of a part is given and the part is not: it would be passed over in silence."""
    tuning = [name for name in given if name not in ("recalibrate", "images", "epochs", "augment", "seed")]
    needed = {"images": "recalibrate"} if "images" in given else {}
    needed |= dict.fromkeys(tuning, "epochs")
    if not given.get("recalibrate"):
        needed |= dict.fromkeys([name for name in given if name in ("augment", "seed")], "epochs")
    for name, other in needed.items():
        if not given.get(other):
            raise SpecError(f"--{FLAGS.get(name, name)} has no effect without --{other}: add it, or leave the flag out")
