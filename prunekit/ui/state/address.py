"""The address of the page as a value: ``encode`` writes what differs from the defaults, ``decode`` reads and checks it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from prunekit.config.choices import CRITERIA, DEVICES, MODES, ROUNDS, RUNTIMES, SCOPES, TARGETS, default_scope
from prunekit.config.recovery import OPTIMIZERS, RATES, SCHEDULES
from prunekit.experiments.records import KINDS
from prunekit.lessons.course import LESSONS
from prunekit.ui.shared.model_cache import opening_model
from prunekit.ui.state import codecs
from prunekit.ui.state.compare_settings import MOST_RUNS, SORTS, TABS
from prunekit.ui.state.compatible import fit
from prunekit.ui.state.learn_settings import KEEPS, PARTS
from prunekit.ui.state.settings import DEFAULT_MODEL, Settings

SHELVES = ("sample", "torchvision", "own")
MOST_SEED = 2**53 - 1  # beyond it a browser's numbers are not exact
MOST_SAMPLES = 100_000
MOST_LIMIT = 10_000_000
MOST_CLASSES = 1000
MOST_EPOCHS = 200
MOST_BLOCKS = 200
METRIC = r"[a-z][a-z_]{0,31}"
KNOBS = codecs.in_order(codecs.matching(r"[a-z0-9.]{1,80}", "where the controls of a lesson stand, such as 10_all"), 2)
SHARE = codecs.Codec(codecs.percent, lambda text: 1.0 if text == "100" else codecs.fraction(text))  # a whole one, too


def _above_nought(text: str) -> tuple[float, ...]:
    """Read numbers that something is divided by."""
    values = codecs.decimals(64).read(text)
    if min(values) <= 0:
        raise ValueError("numbers above 0, such as 0.229, with _ between them")
    return tuple(values)


CODECS: dict[str, codecs.Codec] = {
    "model": codecs.matching(r"[\w./:-]{1,200}", "the name of a model on the Start page"),
    "pretrained": codecs.YES_NO,
    "upload": codecs.matching(r"[0-9a-f]{20}", "the fingerprint of an uploaded file (20 hexadecimal digits)"),
    "data": codecs.matching(r"[\w./:-]{1,200}", "the name of a data set"),
    "limit": codecs.whole(1, MOST_LIMIT),
    "size": codecs.in_order(codecs.whole(1, 100_000), 5),
    "mean": codecs.decimals(64),
    "std": codecs.Codec(codecs.decimals(64).write, _above_nought),
    "classes": codecs.titles(MOST_CLASSES),
    "mode": codecs.choice(*MODES),
    "sparsity": codecs.Codec(codecs.percent, codecs.fraction),
    "criterion": codecs.choice(*CRITERIA),
    "scope": codecs.choice(*SCOPES),
    "layers": codecs.Codec(codecs.ranges, codecs.places),
    "overrides": codecs.Codec(codecs.write_shares, codecs.read_shares),
    "targets": codecs.Codec(codecs.write_shares, codecs.read_shares),
    "caps": codecs.Codec(codecs.write_shares, codecs.read_shares),
    "cap_all": codecs.Codec(codecs.percent, codecs.fraction),
    "pattern": codecs.Codec(str, codecs.pattern),
    "target": codecs.choice(*TARGETS),
    "round_to": codecs.one_number(*ROUNDS),
    "samples": codecs.whole(1, MOST_SAMPLES),
    "units": codecs.UNIT_KINDS,
    "depth": SHARE,
    "blocks": codecs.names(MOST_BLOCKS),
    "seed": codecs.whole(0, MOST_SEED),
    "shelf": codecs.choice(*SHELVES),
    "pick": codecs.Codec(codecs.ranges, codecs.places),
    "view": codecs.choice("overlay", "multiples"),
    "scale": codecs.choice("linear", "log"),
    "focus": codecs.whole(0, codecs.MOST - 1),
    "curves": codecs.Codec(codecs.write_curves, codecs.read_curves),
    "split": codecs.choice("validation", "test"),
    "drop": codecs.Codec(codecs.percent, codecs.fraction),
    "batch": codecs.several(codecs.whole(1, 4096), 6),
    "threads": codecs.several(codecs.whole(1, 1024), 6),
    "runtimes": codecs.several(codecs.dotted(*RUNTIMES), len(RUNTIMES)),
    "device": codecs.choice(*DEVICES),
    "also": codecs.several(codecs.matching(r"[0-9a-f]{12}", "12 hexadecimal digits"), 4),
    "budget": codecs.whole(2, 120),
    "recalibrate": codecs.YES_NO,
    "epochs": codecs.whole(0, MOST_EPOCHS),
    "optimizer": codecs.choice(*OPTIMIZERS),
    "lr": codecs.number(0, 10),
    "rate": codecs.choice(*RATES),
    "augment": codecs.YES_NO,
    "distill": SHARE,
    "temperature": codecs.number(0.1, 100),
    "schedule": codecs.choice(*SCHEDULES),
    "steps": codecs.whole(2, 100),
    "train_images": codecs.whole(1, 10_000_000),
    "images": codecs.whole(0, 10_000_000),
    "across": codecs.choice("sparsity", "ratio", "params", "macs", "bytes"),
    "down": codecs.choice("accuracy", "drop"),
    "evaluations": codecs.whole(3, 100),
    "repeats": codecs.whole(1, 20),
    "goal": codecs.choice("drop", "params", "macs"),
    "goal_share": codecs.Codec(codecs.percent, codecs.fraction),
    "runs": codecs.several(codecs.matching(r"[0-9a-f]{12}", "12 hexadecimal digits"), MOST_RUNS),
    "tab": codecs.choice(*TABS),
    "relative": codecs.YES_NO,
    "by": codecs.choice("sparsity", "width"),
    "layer": codecs.whole(0, codecs.MOST - 1),
    "pair": codecs.matching(r"(?!(.)\1)[A-F]{2}", "two letters of runs, such as AB"),
    "behind": codecs.whole(0, MOST_RUNS - 1),
    "flips": codecs.choice("all", "lost", "won"),
    "sheet": codecs.whole(1, 10_000),
    "x": codecs.matching(METRIC, "the name of a metric"),
    "y": codecs.matching(METRIC, "the name of a metric"),
    "bound": codecs.amount(),
    "bound_on": codecs.choice("x", "y"),
    "kind": codecs.choice(*KINDS),
    "tagged": codecs.matching(codecs.WORDS, "a tag"),
    "find": codecs.matching(codecs.WORDS, "up to 60 characters"),
    "sort": codecs.choice(*SORTS),
    "every": codecs.YES_NO,
    "others": codecs.YES_NO,
    "opened": codecs.matching(r"[0-9a-f]{12}", "12 hexadecimal digits"),
    "part": codecs.choice(*PARTS),
    "lesson": codecs.whole(1, len(LESSONS)),
    "knobs": KNOBS,
    "guess": codecs.whole(0, 100),
    "asked": KNOBS,
    "shown": codecs.YES_NO,
    "done": codecs.places_up_to(len(LESSONS)),
    "large": codecs.YES_NO,
    "keep": codecs.one_number(*KEEPS),
}


def encode(settings: Settings) -> dict[str, str]:
    """Return the parameters of the address: only what differs from the defaults.

    Parameters
    ----------
    settings : Settings
        What was picked.

    Returns
    -------
    dict of str to str
        Parameter name to text, in a fixed order.
    """
    home = opening_model()
    # where models were named at launch the address always says which is meant: it may be opened at another server
    plain = Settings(model=home if home == DEFAULT_MODEL else "", scope=default_scope(settings.mode))
    changed = (f.name for f in fields(Settings) if getattr(settings, f.name) != getattr(plain, f.name))
    return {name: CODECS[name].write(getattr(settings, name)) for name in changed}


def decode(parameters: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Read the parameters of an address; whatever cannot be read keeps its default, what does not go together is changed, both are named.

    Parameters
    ----------
    parameters : mapping of str to str
        As they came: anybody can write an address.

    Returns
    -------
    settings : Settings
        Always valid, and its choices go together.
    problems : list of str
        One plain sentence for each parameter that was left out or changed.
    """
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, text in parameters.items():
        if name not in CODECS:
            problems.append(f"`{_shown(name)}` is not a setting; it was left out.")
            continue
        try:
            values[name] = CODECS[name].read(text[: codecs.MOST])
        except ValueError as error:
            problems.append(f"`{name}` in the address should be {error}, not `{_shown(text)}`; the default is used.")
    values.setdefault("model", opening_model())
    values.setdefault("scope", default_scope(values.get("mode", MODES[0])))
    settings, changes = fit(Settings(**values))
    return settings, problems + changes


def _shown(text: str) -> str:
    """Return foreign text fit for showing: short, and without Markdown."""
    return re.sub(r"[^\w .,:/~-]", "?", text[:40])
