"""Settings that exclude each other are brought to the nearest that fit, each change with a sentence.

Which choices go together is said by `prunekit.config.choices` alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from prunekit.config import choices
from prunekit.config.fields import table
from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.errors import PrunekitError
from prunekit.ui.state import page_settings
from prunekit.ui.state.page_settings import Curve
from prunekit.ui.state.settings import PLAIN, Settings

MODES = table(PruneSpec)["mode"].kind.titles


def fit(settings: Settings) -> tuple[Settings, list[str]]:
    """Return the nearest settings that go together, and a sentence for each field that was changed, its name between backticks."""
    said: list[str] = []
    for change in (_criterion, _scope, _joined, _foreign, _capped, _curves, _lesson):
        for field, value, sentence in change(settings):
            settings = replace(settings, **{field: value})  # type: ignore[arg-type]
            said.append(sentence)
    return settings, said


def nearest(curve: Curve) -> Curve:
    """Return a curve with the nearest criterion and scope that its mode offers."""
    criterion = curve.criterion if curve.criterion in choices.drawn_criteria_of(curve.mode) else PLAIN.criterion
    scope = curve.scope if curve.scope in choices.scopes_of(curve.mode) else choices.default_scope(curve.mode)
    return replace(curve, criterion=criterion, scope=scope)


Changes = Iterator[tuple[str, object, str]]


def _criterion(now: Settings) -> Changes:
    """Fall back to a criterion that the mode offers."""
    found, asked = nearest(now.curve()).criterion, CRITERIA[now.criterion]
    why = "changes what stays, which is not drawn beforehand" if asked.updates else f"does not go with {MODES[now.mode]}"
    if found != now.criterion:
        yield "criterion", found, f"`criterion`: {asked.title} {why}; {CRITERIA[found].title} is used."


def _scope(now: Settings) -> Changes:
    """Fall back to a scope that the mode offers."""
    found = nearest(now.curve()).scope
    if found != now.scope:
        yield "scope", found, f"`scope`: {now.scope} does not go with {MODES[now.mode]}; {found} is used."


def _joined(now: Settings) -> Changes:
    """Keep scores that are multiplied from being negative."""
    if now.reduction == "prod" and now.normaliser == "gaussian":
        yield "normaliser", PLAIN.normaliser, "`normaliser`: scores below the mean are negative there, and a product has no use for them."


def _foreign(now: Settings) -> Changes:
    """Drop what belongs to other modes."""
    for field, row in table(Settings).items():
        modes = [mode for condition in row.when for mode in condition.get("mode") or ()]
        if field == "scope" or not modes or now.mode in modes or getattr(now, field) == getattr(PLAIN, field):
            continue
        if len(modes) > 1:
            yield field, getattr(PLAIN, field), f"`{field}`: with N:M the pattern sets the share of every layer; it was left out."
        else:
            yield field, getattr(PLAIN, field), f"`{field}` belongs to {MODES[modes[0]]}, not to {MODES[now.mode]}; it was left out."


def _capped(now: Settings) -> Changes:
    """Lower overrides to their caps."""
    caps = dict(now.caps)
    held = tuple((place, min(share, caps.get(place, 1.0), now.cap_all)) for place, share in now.overrides)
    if held != now.overrides:
        yield "overrides", held, "`overrides`: an override was above the cap of its layer; it was lowered to the cap."


def _curves(now: Settings) -> Changes:
    """Drop curves that cannot be drawn."""
    fine = tuple(curve for curve in now.curves if not _undrawn(curve))
    if fine != now.curves:
        reasons = dict.fromkeys(filter(None, map(_undrawn, now.curves)))
        yield "curves", fine, f"`curves`: {'; '.join(reasons)}; what can be drawn stays."


def _lesson(now: Settings) -> Changes:
    """Drop what does not belong to the lesson in view."""
    lesson = page_settings.lesson_at(now.lesson)
    for field in ("knobs", "asked"):
        try:
            page_settings.read(lesson, getattr(now, field))
        except PrunekitError:
            yield field, (), f"`{field}` does not belong to lesson {lesson.number}; its controls stand at their start."
    try:
        if now.guess >= 0:
            page_settings.guessed(lesson, now.guess)
    except PrunekitError:
        yield "guess", -1, f"`guess` is not an answer to lesson {lesson.number}; it was left out."


def _undrawn(curve: Curve) -> str | None:
    """Return why a curve cannot be drawn, or None."""
    if curve.mode == "nm":
        return "a pattern has one sparsity, so there is no curve of N:M"
    if choices.refusal(curve.mode, curve.criterion, curve.scope):
        return f"{CRITERIA[curve.criterion].title} in scope {curve.scope} does not go with {MODES[curve.mode]}"
    return None
