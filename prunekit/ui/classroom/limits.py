"""What one person may ask for in a class, so that the others get their turn: the settings are lowered, and a sentence says so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from prunekit.config.fields import table
from prunekit.errors import PrunekitError
from prunekit.experiments.classroom import from_environment
from prunekit.ui.shared import data_cache, model_cache
from prunekit.ui.state.settings import Settings

NAMES = {
    "measured_images": "images are measured",
    "samples": "images are scored",
    "epochs": "epochs of fine-tuning are trained",
    "steps": "cuts are made in a schedule",
    "budget": "seconds are timed for each batch and number of threads",
    "evaluations": "points of a curve are measured",
    "repeats": "seeds are measured",
    "minutes": "minutes are searched at a time",
    "tuned": "epochs of fine-tuning are tried in a search",
}
MOST = {"measured_images": 1000, "samples": 512, "epochs": 5, "steps": 5, "budget": 10, "evaluations": 12, "repeats": 2}
MOST |= {"minutes": 5, "tuned": 8}
"""No default of a page lies above these."""
KINDS = {"batch": "batch sizes", "threads": "numbers of threads", "runtimes": "runtimes", "curves": "curves"}
SEVERAL = {"batch": 2, "threads": 2, "runtimes": 3, "curves": 4}
LIMIT = 2000
SMALL_DATA = ("digits", data_cache.NO_DATA, "")
WHY = "so that everybody gets a turn"


def hold(settings: Settings) -> tuple[Settings, list[str]]:
    """Return settings that suit a class, and a sentence for each that was lowered; the same where there is no class."""
    if from_environment() is None:
        return settings, []
    changes = {**_numbers(settings), **_several(settings), **_data(settings)}
    curves = changes.get("curves", (settings.curves, ""))[0]
    held = tuple(replace(curve, recovery=_fewer_epochs(curve.recovery)) for curve in curves)
    if held != curves:
        changes["curves"] = (held, f"In a class at most {MOST['epochs']} epochs are trained for each point of a curve, {WHY}.")
    return settings.change(**{name: value for name, (value, _) in changes.items()}), [sentence for _, sentence in changes.values()]


def _numbers(now: Settings) -> dict[str, tuple[Any, str]]:
    """Lower single numbers; no limit on images is a number too high."""
    found: dict[str, tuple[Any, str]] = {}
    for name, most in MOST.items():
        value = getattr(now, name)
        everything = name == "measured_images" and value == 0
        if everything or value > most:
            asked = "all" if everything else f"{value:,}"
            found[name] = (most, f"In a class at most {most:,} {NAMES[name]}, {WHY}: `{table(Settings)[name].address}` was {asked}.")
    return found


def _several(now: Settings) -> dict[str, tuple[Any, str]]:
    """Keep the first few of what is measured one after the other."""
    return {
        name: (getattr(now, name)[:most], f"In a class at most {most} {KINDS[name]} are measured at a time, {WHY}: `{name}` named more.")
        for name, most in SEVERAL.items()
        if len(getattr(now, name)) > most
    }


def _data(now: Settings) -> dict[str, tuple[Any, str]]:
    """Take part of large data."""
    if 0 < now.limit <= LIMIT or _data_name(now) in SMALL_DATA:
        return {}
    return {"limit": (LIMIT, f"In a class at most {LIMIT:,} images of each part of the data are used, {WHY}.")}


def _data_name(now: Settings) -> str:
    """Return the data in use; empty where the model cannot be had."""
    try:
        return data_cache.data_name(now, model_cache.load(data_cache.source_of(now)))
    except PrunekitError:
        return now.data


def _fewer_epochs(code: str) -> str:
    """Return what follows the cut of a curve, with no more epochs than allowed."""
    return f"f{min(int(code[1:]), MOST['epochs'])}" if code.startswith("f") else code


def training_epochs(usual: int, data: str) -> int:
    """Return the most epochs that a sample may be trained for from random weights."""
    if from_environment() is None:
        return 200
    return usual if data in SMALL_DATA else min(usual, MOST["epochs"])
