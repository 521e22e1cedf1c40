"""The layers that a setting prunes: those ticked, or the default of the mode."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from prunekit import pruning
from prunekit.errors import PrunekitError
from prunekit.pruning.layer_selection import with_attention
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.data_cache import source_of
from prunekit.ui.shared.model_cache import Source
from prunekit.ui.state import session, target_scaling
from prunekit.ui.state.settings import Settings

NO_HEADS = (
    "Attention goes with the layer behind it where no attention is ticked: to leave all heads whole, take them out under “What may go”."
)


@shared(64)
def defaults(source: Source, mode: str) -> tuple[tuple[int, ...], Mapping[int, str]]:
    """Return the places that are ticked by default, and why others are not; the same objects for everybody."""
    model, place, held = model_cache.load(source).model, _places(source), cuts.immovable(source, mode)
    ticked = _along(source, mode, (place[name] for name in pruning.default_layers(model, mode, held)))
    return ticked, {place[name]: why for name, why in pruning.protected_layers(model, mode, held).items()}


def _places(source: Source) -> dict[str, int]:
    """Return the place of every layer."""
    return {name: i for i, name in enumerate(model_cache.load(source).every)}


def _along(source: Source, mode: str, places: Iterable[int]) -> tuple[int, ...]:
    """Return places with those of the attention that is chosen along."""
    every, place = model_cache.load(source).every, _places(source)
    if mode != "structured":
        return tuple(sorted(places))
    return tuple(sorted(place[name] for name in with_attention(every, (every[i] for i in places if i < len(every)))))


def ticked_places(now: Settings, source: Source) -> tuple[int, ...]:
    """Return the ticked layers: what was picked, or the default of the mode; overrides choose their layers, too."""
    layers = defaults(source, now.mode)[0] if now.layers is None else _along(source, now.mode, now.layers)
    joint = (place for places, _ in now.shares for place in places)
    return tuple(sorted({*layers, *(place for place, _ in (*now.overrides, *now.targets)), *joint}))


@shared(512)
def together(source: Source, mode: str, place: int) -> tuple[int, ...]:
    """Return a layer and those that shrink together with it, by place."""
    if mode != "structured":
        return (place,)
    every = model_cache.load(source).every
    try:
        groups = cuts.graph(source).groups
    except PrunekitError:
        return (place,)
    members = {other for group in groups if every[place] in group.layers for other in group.layers} | {every[place]}
    return tuple(i for i, other in enumerate(every) if other in members)


class Edits:
    """What a table's edits make of the ticks, overrides, joint shares and caps of layers, by place. Only to be used in callbacks."""

    def __init__(self) -> None:
        self.source = source_of(session.settings())
        self.now = target_scaling.followed(session.settings(), self.source)
        self.ticked, self.fixed, self.caps = set(ticked_places(self.now, self.source)), dict(self.now.overrides), dict(self.now.caps)
        self.joint = {place: share for places, share in self.now.shares for place in places}

    def edit(self, place: int, values: Mapping[str, Any]) -> None:
        """Apply one row's edits to one layer: a share of its own and one together with others are never both there."""
        for name, shares in (("override", self.fixed), ("together", self.joint)):
            if name not in values:
                continue
            share = values[name]
            shares.pop(place, None)
            if share is not None:
                self.fixed.pop(place, None)
                self.joint.pop(place, None)
                shares[place] = round(min(max(float(share), 0.0), 99.9) / 100, 8)
                self.ticked.add(place)
        if values.get("tick"):
            self.ticked.add(place)
        elif "tick" in values:
            self.ticked.discard(place)
            self.fixed.pop(place, None)
            self.joint.pop(place, None)

    def cap(self, place: int, values: Mapping[str, Any]) -> None:
        """Apply one row's edits to its cap: a cap of everything is none."""
        if "cap" in values:
            self.caps.pop(place, None)
            if values["cap"] is not None and values["cap"] < 100:
                self.caps[place] = round(max(float(values["cap"]), 0.0) / 100, 8)

    def put(self) -> None:
        """Take them as settings; what comes to the default choice is the default choice."""
        source, ticked, usual = self.source, self.ticked, defaults(self.source, self.now.mode)[0]
        sets: dict[float, list[int]] = {}
        for place, share in sorted(self.joint.items()):
            sets.setdefault(share, []).append(place)
        shares: dict[str, Any] = {
            "overrides": tuple(sorted(self.fixed.items())), "caps": tuple(sorted(self.caps.items())),
            "shares": tuple(sorted((tuple(members), share) for share, members in sets.items())),
        }  # fmt: skip
        if self.now.targets:  # as edited, while each layer has one; else they are overrides like any others
            led = {member for place in self.fixed for member in together(source, self.now.mode, place)}
            shares |= {"targets": shares["overrides"], "overrides": ()} if ticked <= led else {"targets": ()}
        if not ticked:
            session.change(layers=tuple(self.now.layers or usual)[:1], overrides=(), targets=(), shares=())
            session.complain("At least one layer has to take part: the first stays ticked.")
            return
        wanted = tuple(sorted(ticked))
        session.change(layers=None if _same(source, self.now.mode, wanted, usual) else wanted, **shares)
        total(source)
        if _along(source, self.now.mode, wanted) != wanted:
            session.complain(NO_HEADS)


def total(source: Source) -> None:
    """Let the slider follow where all ticked layers have a share, which make up the total. Only to be called from callbacks."""
    now = session.settings()
    own = [place for place, _ in now.targets or now.overrides]
    joint = [place for places, _ in now.shares for place in places]
    led = {member for place in own + joint for member in together(source, now.mode, place)}
    if now.mode != "nm" and led and set(ticked_places(now, source)) <= led:
        session.change(sparsity=target_scaling.sum_of(now, source))


def _same(source: Source, mode: str, wanted: Collection[int], usual: Collection[int]) -> bool:
    """Return whether two choices come to the same: in structured mode the same groups go."""
    if tuple(wanted) == tuple(usual):
        return True
    try:
        groups = cuts.graph(source).groups if mode == "structured" else ()
    except PrunekitError:
        return False
    place = _places(source)
    whole = [{place[name] for name in group.layers} for group in groups]
    open_to = [members <= set(wanted) for members in whole]
    return any(open_to) and open_to == [members <= set(usual) for members in whole]
