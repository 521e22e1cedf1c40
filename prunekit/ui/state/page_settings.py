"""What single pages add to the settings: curves of "Quality vs sparsity", the runs compared, and where a person stands in a lesson."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prunekit.config.choices import CRITERIA, MODES, RUN_KINDS, SCOPES
from prunekit.errors import PrunekitError
from prunekit.experiments.search.request import GOALS
from prunekit.lessons.lesson import LESSONS, Control, Lesson
from prunekit.ui.state import codecs
from prunekit.ui.state.codecs import pick

RECOVERY = r"r|p|f(?:[1-9]\d?|1\d\d|200)"


@dataclass(frozen=True)
class Curve:
    """One curve of the page "Quality vs sparsity"."""

    mode: str
    criterion: str
    scope: str
    chosen: bool = False  # whether the layers, overrides, caps, target and channel multiple of the Prune page count, or their defaults
    # what follows the cut: empty for nothing, ``r`` for BatchNorm recalibration, ``f5`` for five epochs of fine-tuning with the Recover
    # page's other choices, ``p`` for all choices of the Recover page
    recovery: str = ""
    rows: bool = False  # whether the rows of embedding tables are what goes, more at each point, and not channels


def write_curves(curves: tuple[Curve, ...]) -> str:
    """Return curves as ``mode-criterion-scope``, with ``-rows`` or ``-own`` (chosen layers count), and with what follows the cut."""

    def words(c: Curve) -> list[str]:
        return [c.mode, c.criterion.replace("_", "."), c.scope] + ["rows"] * c.rows + ["own"] * c.chosen + [c.recovery] * bool(c.recovery)

    return "_".join("-".join(words(c)) for c in curves)


def read_curves(text: str) -> tuple[Curve, ...]:
    """Read what `write_curves` wrote."""
    found: list[Curve] = []
    for part in text.split("_")[:12]:
        words = part.replace(".", "_").split("-")
        known = all(word in allowed for word, allowed in zip(words, (MODES, CRITERIA, SCOPES), strict=False))
        rows = words[3:4] == ["rows"]
        words = words[:3] + words[4:] if rows else words
        own = words[3:4] == ["own"]
        after = words[4 if own else 3 :]
        known = known and (words[0] == "structured" or not rows)
        if not known or len(words) < 3 or len(after) > 1 or (after and not re.fullmatch(RECOVERY, after[0])):
            raise ValueError("curves such as unstructured-l1-global or structured-l2-global-f5")
        found.append(Curve(words[0], words[1], words[2], own, "".join(after), rows))
    return tuple(dict.fromkeys(found))


METRIC = codecs.matching(r"[a-z][a-z_]{0,31}", "the name of a metric")
MOST_RUNS = 6
TABS = ("numbers", "layers", "weights", "behaviour", "tradeoff", "lineage")
SORTS = ("newest", "accuracy", "size", "params", "sparsity", "name")


@dataclass(frozen=True)
class Compared:
    """The picks of the Compare page."""

    # the picked runs in order of picking, by the first 12 digits of their names; the first is called A
    runs: tuple[str, ...] = pick((), codecs.several(codecs.RUN, MOST_RUNS))
    tab: str = pick("numbers", codecs.choice(*TABS))  # which part of the comparison shows
    relative: bool = pick(False, codecs.YES_NO)  # whether numbers stand as shares of the dense model's
    by: str = pick("sparsity", codecs.choice("sparsity", "width"))  # what the tab Layers draws: sparsity or width
    layer: int = pick(-1, codecs.PLACE)  # the layer whose weights the tab Weights draws, by its place; -1 for all together
    # the two runs whose masks are laid over each other, by their letters, such as AB; empty for the first two
    pair: str = pick("", codecs.matching(r"(?!(.)\1)[A-F]{2}", "two letters of runs, such as AB"))
    # the run that the tab Behaviour compares with the dense model, by its place in runs
    behind: int = pick(0, codecs.whole(0, MOST_RUNS - 1))
    flips: str = pick("all", codecs.choice("all", "lost", "won"))  # which flipped images show: lost, won or all
    sheet: int = pick(1, codecs.whole(1, 10_000))  # which page of flipped images shows, from 1
    x: str = pick("shipped", METRIC)  # x, y: what the tab Trade-off has on its axes: names of metrics
    y: str = pick("accuracy", METRIC)
    bound: float = pick(0.0, codecs.amount())  # the budget there, in the unit of its axis; 0 for none
    bound_on: str = pick("y", codecs.choice("x", "y"))  # on which axis it lies: x or y
    kind: str = pick("", codecs.choice(*RUN_KINDS))  # kind, tagged, find: filters of the table of all runs; empty for no filter
    tagged: str = pick("", codecs.matching(codecs.WORDS, "a tag"))
    find: str = pick("", codecs.matching(codecs.WORDS, "up to 60 characters"))
    sort: str = pick("newest", codecs.choice(*SORTS))  # its order
    every: bool = pick(False, codecs.YES_NO)  # whether runs that arose in passing are in it, too
    others: bool = pick(False, codecs.YES_NO)  # whether runs of other models than the one in use are
    opened: str = pick("", codecs.RUN)  # the run that was clicked in the tree, by the first 12 digits of its name; empty for none


FLOORS = ("lose", "hold")
VALUE = codecs.Codec("{:.10g}".format, codecs.real)


@dataclass(frozen=True)
class Sought:
    """The picks of the Find page."""

    minimise: str = pick("params", codecs.choice(*GOALS))  # what is to be small
    floor: str = pick("lose", codecs.choice(*FLOORS))  # whether a loss is allowed, which is the setting drop, or a value must hold
    hold: float | None = pick(None, VALUE)  # that value of the headline metric, of a share a fraction; None before there is one
    minutes: float = pick(5.0, codecs.number(0.1, 1440.0))  # how long to search, each time it is started
    tuned: int = pick(8, codecs.whole(0, 200))  # most epochs of fine-tuning


PARTS = ("lessons", "versus", "presets", "words", "sheet")
KNOBS = codecs.in_order(codecs.matching(r"[a-z0-9.]{1,700}", "where the controls of a lesson stand, such as 10_all"), 2)
KEEPS = (10, 20, 30, 40, 50, 60)


@dataclass(frozen=True)
class Learned:
    """The picks of the Learn page."""

    part: str = pick("lessons", codecs.choice(*PARTS))  # which part of the page shows
    lesson: int = pick(1, codecs.whole(1, len(LESSONS)))  # which lesson, from 1
    knobs: tuple[str, ...] = pick((), KNOBS)  # where its controls stand, in their order; empty for where the question puts them
    guess: int = pick(-1, codecs.whole(0, 100))  # the guess: a number on its scale, or the place of an option; -1 before there is one
    asked: tuple[str, ...] = pick((), KNOBS)  # where the controls stood when the guess was made
    shown: bool = pick(False, codecs.YES_NO)  # whether the answer may show
    done: tuple[int, ...] = pick((), codecs.places_up_to(len(LESSONS)))  # lessons that were gone through
    large: bool = pick(False, codecs.YES_NO)  # large type, for a projector
    # of the part "Structured or unstructured?": how much of a budget may stay, in percent
    keep: int = pick(20, codecs.one_of({str(share): share for share in KEEPS}))


NONE = "none"


def lesson_at(number: int) -> Lesson:
    """Return a lesson by its number, from 1."""
    return LESSONS[number - 1]


def write(lesson: Lesson, values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a word for each control, or nothing where all stand at their start."""
    checked = lesson.checked(**values)
    if checked == lesson.checked():
        return ()
    return tuple(_word(control, checked[control.name]) for control in lesson.controls)


def read(lesson: Lesson, words: tuple[str, ...]) -> dict[str, Any]:
    """Return the value of every control."""
    if not words:
        return lesson.checked()
    if len(words) != len(lesson.controls):
        raise PrunekitError(f"lesson {lesson.number} has {len(lesson.controls)} controls, not {len(words)}")
    return lesson.checked(**{control.name: _value(control, word) for control, word in zip(lesson.controls, words, strict=True)})


def guessed(lesson: Lesson, guess: int) -> float | str:
    """Return a guess as the lesson takes it: a number, or one of the options."""
    if lesson.guess.kind == "number":
        return lesson.guess.checked(guess)
    if not 0 <= guess < len(lesson.guess.options):
        raise PrunekitError(f"lesson {lesson.number} has options 0 to {len(lesson.guess.options) - 1}")
    return lesson.guess.options[guess]


def _word(control: Control, value: Any) -> str:
    """Return one control's value as a word; a text by the hexadecimal digits of its UTF-8."""
    if control.kind == "text":
        return str(value).encode().hex()
    if isinstance(value, tuple):
        return ".".join(map(str, value)) or NONE
    return str(value)


def _value(control: Control, word: str) -> Any:
    """Return one control's value from its word; the control checks it afterwards."""
    if control.kind == "choice":
        return word
    if control.kind == "text":
        try:
            return bytes.fromhex(word).decode()
        except ValueError:
            raise PrunekitError(f"{control.name} cannot be read from {word!r}") from None
    parts = [] if word == NONE else word.split(".")
    if not all(part.isdecimal() for part in parts) or (control.kind == "slider" and len(parts) != 1):
        raise PrunekitError(f"{control.name} cannot be read from {word!r}")
    numbers = tuple(map(int, parts))
    return numbers if control.kind in ("cells", "switches") else numbers[0]
