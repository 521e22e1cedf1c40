"""A lesson's setting, as fields of the dashboard and in the words of the core; its numbers in words, and its threads: one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.data.load import load_data
from prunekit.evaluation.paired import Difference
from prunekit.evaluation.progress import Progress
from prunekit.evaluation.quality import Evaluation
from prunekit.models.layers import prunable_layers
from prunekit.models.load import load_model
from prunekit.runtimes.backends import RUNTIMES

KINDS = {"dense": "the original", "unstructured": "single weights gone", "structured": "whole channels gone"}
"""What copies are called."""


def percent(share: float) -> str:
    """Return a share as percent with one decimal where it needs one; what is neither nothing nor all never reads 0 or 100."""
    value = 100 * share
    if 0 < value < 0.05:
        return "under 0.1 %"
    if 99.95 <= value < 100:
        return "over 99.9 %"
    return f"{value:.1f}".removesuffix(".0") + " %"


def points(share: float) -> str:
    """Return the size of a difference of shares in percentage points: 0.6 points."""
    text = f"{100 * abs(share):.1f}".removesuffix(".0")
    return f"{text} point{'' if text == '1' else 's'}"


def significance_text(difference: Difference) -> str:
    """Return whether a difference of two models on the same images can be told from chance."""
    if difference.significant:
        return f"a real difference (p {small(difference.p_value)})"
    return f"not significant on {difference.n} images"


def small(p: float) -> str:
    """Return a probability: ``= 0.021``, ``< 0.001``."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def change(difference: Difference) -> str:
    """Return what became of accuracy: ``falls by 3 points, a real difference (p = 0.021)``."""
    if not difference.value:
        return "stays the same"
    verb = "falls" if difference.value < 0 else "rises"
    return f"{verb} by {points(difference.value)}, {significance_text(difference)}"


def right(accuracy: Evaluation) -> str:
    """Return an accuracy as percent."""
    return percent(accuracy.value)


def shape(sizes: tuple[int, ...]) -> str:
    """Return the shape of a weight: ``64 x 1,024``."""
    return " x ".join(f"{size:,}" for size in sizes)


def plural(number: int, one: str) -> str:
    """Return ``1 weight`` or ``1,000 weights``."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def timing(progress: Progress) -> Progress:
    """Return the progress of a measurement of time without the name of the runtime: there is only one in the lessons."""
    ending = f" in {RUNTIMES['eager'].title}"
    return Progress(lambda share, text: progress(share, text.replace(ending, "")), progress.cancel)


CNN = "digits_cnn"
MLP = "digits_mlp"
SPEC = ("mode", "sparsity", "criterion", "scope", "seed")
RECOVERY = ("recalibrate", "epochs", "schedule", "steps", "seed")


def model_of(settings: Mapping[str, Any]) -> nn.Module:
    """Return the dense model of a setting."""
    return load_model(settings["model"])


def digits() -> Data:
    """Return the embedded digits."""
    return load_data("digits")


def spec_of(settings: Mapping[str, Any], model: nn.Module) -> PruneSpec:
    """Return the pruning setting."""
    names, places = prunable_layers(model), settings.get("layers")
    chosen = {name: settings[name] for name in SPEC if name in settings}
    return PruneSpec(layers=None if places is None else tuple(names[place] for place in places), **chosen)


def recovery_of(settings: Mapping[str, Any]) -> Recovery:
    """Return what is done after pruning; nothing where the setting does not speak of it."""
    return Recovery(**{name: settings[name] for name in RECOVERY if name in settings})


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one thread meanwhile, and with as many as before afterwards.

    A step of a network as small as the digits' takes less time than two threads need to wait for each other; on a machine that has other
    work as well, such as a class of learners, they wait so long that seconds become a minute. A thread that computes alone already is left
    as it is, so that nothing is set back to what another one has set for a while.
    """
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
