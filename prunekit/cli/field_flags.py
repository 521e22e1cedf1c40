"""Flags from the table of fields, and the settings that they make."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping
from typing import Any

from prunekit.config.fields import Setting, table
from prunekit.config.kinds import Number, OneOf, Share, Whole, YesNo
from prunekit.config.recovery import Recovery
from prunekit.config.several_kinds import Indices, Names, Numbers, Several, Shares, Titles
from prunekit.errors import PrunekitError, SpecError


def _as(convert: Callable[[str], Any], words: str) -> Callable[[str], Any]:
    """Return a reader of one number."""

    def read(text: str) -> Any:
        try:
            return convert(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a {words}") from None

    return read


def _seconds(text: str) -> float:
    """Read a time such as ``20m``; a number alone is seconds."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in "smh" and text else (text, "s")
    return float(number) * {"s": 1, "m": 60, "h": 3600}[unit]


def _listed(what: str, convert: Callable[[str], Any], example: str = "0.1,0.5") -> Callable[[str], tuple[Any, ...]]:
    """Return a reader of comma-separated values."""

    def read(text: str) -> tuple[Any, ...]:
        try:
            return tuple(convert(part.strip()) for part in text.split(",") if part.strip())
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a list of {what} such as {example}") from None

    return read


WHOLE, NUMBER = _as(int, "whole number"), _as(float, "number")
DURATION = _as(_seconds, "time such as 90s, 20m or 2h")
NUMBERS, NAMES, WHOLES = _listed("numbers", float), _listed("names", str), _listed("whole numbers", int, "1,8")


def share(row: Setting) -> Callable[[str], float]:
    """Return a reader of a share; a wrong one is said at once, before anything slow is loaded."""

    def read(text: str) -> float:
        try:
            return float(row.kind(row.name, NUMBER(text)))
        except PrunekitError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _pair(text: str) -> tuple[str, float]:
    """Read ``layer=sparsity``."""
    name, sign, value = text.rpartition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form layer=sparsity, as in conv1=0.3")
    return name, NUMBER(value)


def _outputs(text: str) -> tuple[str, tuple[int, ...]]:
    """Read ``layer=index,index``."""
    name, sign, value = text.rpartition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form layer=index,index, as in conv1=0,5")
    return name, WHOLES(value)


def _how(row: Setting) -> dict[str, Any]:
    """Return how the value of a field is read."""
    match row.kind:
        case YesNo():
            how: dict[str, Any] = {"action": "store_true"}
        case OneOf(titles=titles):
            how = {"choices": tuple(titles), "type": type(next(iter(titles)))}
        case Whole():
            how = {"type": WHOLE}
        case Number():
            how = {"type": NUMBER}
        case Share():
            how = {"type": share(row)}
        case Indices():
            how = {"type": _outputs, "action": "append"}
        case Shares():
            how = {"type": _pair, "action": "append"}
        case Numbers():
            how = {"type": NUMBERS}
        case Several(one=one):
            how = {"type": WHOLES if isinstance(one, Whole) else NAMES}
        case Names() | Titles():
            how = {"type": NAMES}
        case _:
            how = {}
    return how if "choices" in how or "store_true" in how.values() else {"metavar": row.kind.metavar, **how}


def add_flags(
    parser: Any, cls: type, only: Collection[str] = (), *, without: Collection[str] = (), left_out: bool = False,
    **changes: Mapping[str, Any],
) -> None:  # fmt: skip
    """Add a flag for each field that has one; ``changes`` say by field what ``add_argument`` is given otherwise.

    With ``left_out`` a flag that is left out is None, so that it can be told from one with the default.
    """
    for name, row in table(cls).items():
        if not row.flag or name in without or (only and name not in only):
            continue
        how = {**_how(row), **changes.get(name, {})}
        how.setdefault("default", row.default)
        usual = row.usual or _written(how["default"])
        said = "" if isinstance(row.kind, YesNo) else "; repeatable" if "action" in how else f" (default: {usual})" if usual else ""
        how["default"] = None if left_out or "action" in how else how["default"]
        how.setdefault("help", f"{_in_mode(row)}{'do not ' if row.default is True else ''}{row.help}{_range(row)}{said}")
        parser.add_argument(row.option, **{**how, "help": how["help"].replace("%", "%%")})


def _written(value: Any) -> str:
    """Return a default as it would be given."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _range(row: Setting) -> str:
    """Return what a share may be."""
    return "" if not isinstance(row.kind, Share) else ", 0 <= S <= 1" if row.kind.whole else ", 0 <= S < 1"


def _in_mode(row: Setting) -> str:
    """Return which mode a field belongs to, where it is one."""
    modes = [mode for condition in row.when for mode in condition.get("mode") or ()]
    return f"mode {modes[0]}: " if len(modes) == 1 else ""


def given(args: argparse.Namespace, cls: type) -> dict[str, Any]:
    """Return what the flags of a setting say, by field; what was left out is left out."""
    found = {}
    for name, row in table(cls).items():
        value = getattr(args, row.option[2:].replace("-", "_"), None) if row.flag else None
        if value is not None and not (isinstance(row.kind, YesNo) and not value):
            found[name] = not row.default if isinstance(row.kind, YesNo) else value
    return found


def recovery_flags(parser: argparse.ArgumentParser) -> None:
    """Add what describes a recovery; without any of it nothing is done after pruning."""
    group = parser.add_argument_group("recovery", "What brings accuracy back; it learns from training data alone.")
    add_flags(group, Recovery, left_out=True, seed={"help": f"{table(Recovery)['seed'].help} (default: that of --seed)"})


def recovery_of(args: argparse.Namespace) -> Recovery:
    """Return the recovery that was asked for."""
    said, rows = given(args, Recovery), table(Recovery)
    for name in said:
        needed = [other for condition in rows[name].when for other in list(condition)[:1]]
        if needed and not any(map(said.get, needed)):
            raise SpecError(f"{rows[name].option} has no effect without {rows[needed[0]].option}: add it, or leave the flag out")
    found = Recovery(**{"seed": args.seed, **said})
    return found if found.active else Recovery()
