"""The address of the page as a value: ``encode`` writes what differs from the defaults, ``decode`` reads and checks it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from prunekit import fields as check
from prunekit.choices import CRITERIA, MODES, ROUNDS, SCOPES, TARGETS, default_scope
from prunekit.errors import SpecError
from prunekit.recovery import OPTIMIZERS, RATES, SCHEDULES
from prunekit.ui.fitting import fit
from prunekit.ui.settings import Curve, Settings

MOST = 4096  # places of layers, and characters of one value
SHELVES = ("sample", "torchvision", "own")
MOST_SEED = 2**53 - 1  # beyond it a browser's numbers are not exact
MOST_SAMPLES = 100_000
MOST_EPOCHS = 200
RECOVERY = r"r|p|f(?:[1-9]\d?|1\d\d|200)"


@dataclass(frozen=True)
class Codec:
    """How one field becomes text and back; ``read`` raises ValueError with what is allowed."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]


def _ranges(values: Iterable[int]) -> str:
    """Return whole numbers compactly, ``0, 1, 2, 5`` as ``0-2_5``."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return "_".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def _places(text: str) -> tuple[int, ...]:
    """Read what ``_ranges`` wrote."""
    found: list[int] = []
    for part in text.split("_"):
        match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", part)
        if not match:
            raise ValueError("layer numbers such as 0-3_5")
        first = int(match[1])
        found += range(first, int(match[2] or first) + 1)
    if not found or max(found) >= MOST:
        raise ValueError("layer numbers such as 0-3_5")
    return tuple(sorted(set(found)))


def _percent(value: float) -> str:
    """Return a fraction as percent without trailing zeros."""
    return f"{round(100 * value, 6):.10g}"


def _fraction(text: str) -> float:
    """Read a percentage as a fraction in [0, 1)."""
    if not re.fullmatch(r"\d{1,2}(\.\d{1,6})?", text):
        raise ValueError("a percentage from 0 to below 100")
    return round(float(text) / 100, 8)


def _write_shares(value: tuple[tuple[int, float], ...]) -> str:
    """Return shares of layers as ``place~percent`` pairs."""
    return "_".join(f"{place}~{_percent(share)}" for place, share in sorted(value))


def _read_shares(text: str) -> tuple[tuple[int, float], ...]:
    """Read what ``_write_shares`` wrote."""
    found: dict[int, float] = {}
    for part in text.split("_"):
        place, tilde, share = part.partition("~")
        if not tilde or not re.fullmatch(r"\d{1,4}", place) or int(place) in found:
            raise ValueError("pairs such as 3~30_7~55.5 (layer number ~ percent), each layer once")
        found[int(place)] = _fraction(share)
    return tuple(sorted(found.items()))


def _pattern(text: str) -> str:
    """Read a pattern N:M."""
    try:
        n, m = check.pattern(text)
    except SpecError:
        raise ValueError("N:M with 0 < N < M, such as 2:4") from None
    return f"{n}:{m}"


def _write_curves(value: tuple[Curve, ...]) -> str:
    """Return curves as ``mode-criterion-scope``, with ``-own`` where chosen layers count, and with what follows the cut."""

    def words(c: Curve) -> list[str]:
        return [c.mode, c.criterion.replace("_", "."), c.scope] + ["own"] * c.chosen + [c.recovery] * bool(c.recovery)

    return "_".join("-".join(words(c)) for c in value)


def _read_curves(text: str) -> tuple[Curve, ...]:
    """Read what ``_write_curves`` wrote."""
    found: list[Curve] = []
    for part in text.split("_")[:12]:
        words = part.replace(".", "_").split("-")
        known = all(word in allowed for word, allowed in zip(words, (MODES, CRITERIA, SCOPES), strict=False))
        own = words[3:4] == ["own"]
        after = words[4 if own else 3 :]
        if not known or len(words) < 3 or len(after) > 1 or (after and not re.fullmatch(RECOVERY, after[0])):
            raise ValueError("curves such as unstructured-l1-global or structured-l2-global-f5")
        found.append(Curve(words[0], words[1], words[2], own, "".join(after)))
    return tuple(dict.fromkeys(found))


def _choice(*allowed: str) -> Codec:
    """Return the codec of one word out of several."""

    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError("one of " + ", ".join(allowed))
        return text

    return Codec(str, read)


def _whole(low: int, high: int) -> Codec:
    """Return the codec of a whole number between two bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,19}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return Codec(str, read)


def _one_number(*allowed: int) -> Codec:
    """Return the codec of one whole number out of several."""
    words = _choice(*map(str, allowed))
    return Codec(str, lambda text: int(words.read(text)))


def _matching(pattern: str, allowed: str) -> Codec:
    """Return the codec of a word of a certain form."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(allowed)
        return text

    return Codec(str, read)


def _number(low: float, high: float) -> Codec:
    """Return the codec of a decimal number between two bounds."""

    def read(text: str) -> float:
        if not re.fullmatch(r"\d{1,4}(\.\d{1,8})?(e-\d{1,2})?", text) or not low <= float(text) <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return float(text)

    return Codec(lambda value: f"{value:.10g}", read)


_YES_NO = Codec(lambda value: str(int(value)), lambda text: bool(_whole(0, 1).read(text)))

CODECS: dict[str, Codec] = {
    "model": _matching(r"[\w./:-]{1,200}", "the name of a model on the Start page"),
    "pretrained": _YES_NO,
    "upload": _matching(r"[0-9a-f]{20}", "the fingerprint of an uploaded file (20 hexadecimal digits)"),
    "data": _matching(r"[\w./:-]{1,200}", "the name of a data set"),
    "limit": _whole(1, 10_000_000),
    "mode": _choice(*MODES),
    "sparsity": Codec(_percent, _fraction),
    "criterion": _choice(*CRITERIA),
    "scope": _choice(*SCOPES),
    "layers": Codec(_ranges, _places),
    "overrides": Codec(_write_shares, _read_shares),
    "caps": Codec(_write_shares, _read_shares),
    "cap_all": Codec(_percent, _fraction),
    "pattern": Codec(str, _pattern),
    "target": _choice(*TARGETS),
    "round_to": _one_number(*ROUNDS),
    "samples": _whole(1, MOST_SAMPLES),
    "seed": _whole(0, MOST_SEED),
    "shelf": _choice(*SHELVES),
    "pick": Codec(_ranges, _places),
    "view": _choice("overlay", "multiples"),
    "scale": _choice("linear", "log"),
    "focus": _whole(0, MOST - 1),
    "curves": Codec(_write_curves, _read_curves),
    "split": _choice("validation", "test"),
    "drop": Codec(_percent, _fraction),
    "batch": _whole(1, 256),
    "threads": _whole(1, 64),
    "budget": _whole(2, 120),
    "recalibrate": _YES_NO,
    "epochs": _whole(0, MOST_EPOCHS),
    "optimizer": _choice(*OPTIMIZERS),
    "lr": _number(0, 10),
    "rate": _choice(*RATES),
    "augment": _YES_NO,
    "distill": Codec(_percent, lambda text: 1.0 if text == "100" else _fraction(text)),
    "temperature": _number(0.1, 100),
    "schedule": _choice(*SCHEDULES),
    "steps": _whole(2, 100),
    "train_images": _whole(1, 10_000_000),
    "images": _whole(0, 10_000_000),
    "across": _choice("sparsity", "ratio", "params", "macs", "bytes"),
    "down": _choice("accuracy", "drop"),
    "evaluations": _whole(3, 100),
    "repeats": _whole(1, 20),
    "goal": _choice("drop", "params", "macs"),
    "goal_share": Codec(_percent, _fraction),
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
    plain = Settings(scope=default_scope(settings.mode))
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
            values[name] = CODECS[name].read(text[:MOST])
        except ValueError as error:
            problems.append(f"`{name}` in the address should be {error}, not `{_shown(text)}`; the default is used.")
    values.setdefault("scope", default_scope(values.get("mode", MODES[0])))
    settings, changes = fit(Settings(**values))
    return settings, problems + changes


def _shown(text: str) -> str:
    """Return foreign text fit for showing: short, and without Markdown."""
    return re.sub(r"[^\w .,:/~-]", "?", text[:40])
