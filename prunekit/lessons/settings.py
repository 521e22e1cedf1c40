"""A lesson's setting, as fields of the dashboard and in the words of the core; and its threads: one."""

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
from prunekit.models.layers import prunable_layers
from prunekit.models.load import load_model

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
