"""Which kinds of units may go: channels, whole heads of attention, dimensions of every head."""

from __future__ import annotations

from collections.abc import Iterable

from prunekit.config.pruning_fields import UNITS
from prunekit.errors import PrunekitError
from prunekit.ui.components.field_controls import control
from prunekit.ui.shared import cuts
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state.settings import Settings


def kinds_of(source: Source) -> tuple[str, ...]:
    """Return the kinds of units that a model has; none where structured pruning cannot see it."""
    try:
        found = {group.kind for group in cuts.graph(source).groups}
    except PrunekitError:
        return ()
    return tuple(name for name in UNITS.titles if name in found)


def pills(now: Settings, loaded: Loaded) -> None:
    """Show what may go, where there is a choice."""
    there = kinds_of(loaded.source)
    if len(there) < 2:
        return

    def shown(units: Iterable[str] | None) -> list[str]:
        return [name for name in there if units is None or name in units]

    def taken(picked: list[str]) -> tuple[str, ...] | None:
        return None if not picked or set(picked) >= set(there) else tuple(name for name in there if name in picked)

    control("units", "What may go", options=there, format_func=UNITS.titles.__getitem__, show=shown, take=taken)
