"""A lesson's setting: fields of the dashboard's settings, and the same in the words of the core."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from prunekit.anatomy import prunable_layers
from prunekit.catalog import Data, load_data, load_model
from prunekit.recovery import Recovery
from prunekit.spec import PruneSpec

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
    """Return the pruning setting.

    Parameters
    ----------
    settings : mapping
        Fields of the dashboard's settings; what is left out has the core's default, which is the dashboard's too.
    model : nn.Module
        Whose layers are meant by the numbers in ``layers``.
    """
    names, places = prunable_layers(model), settings.get("layers")
    chosen = {name: settings[name] for name in SPEC if name in settings}
    return PruneSpec(layers=None if places is None else tuple(names[place] for place in places), **chosen)


def recovery_of(settings: Mapping[str, Any]) -> Recovery:
    """Return what is done after pruning; nothing where the setting does not speak of it."""
    return Recovery(**{name: settings[name] for name in RECOVERY if name in settings})
