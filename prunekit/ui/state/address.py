"""The address of the page as a value: ``encode`` writes what differs from the defaults, ``decode`` reads and checks it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from prunekit.config import kinds, several_kinds
from prunekit.config.choices import MODES, default_scope
from prunekit.config.fields import table
from prunekit.errors import SpecError
from prunekit.ui.shared.model_cache import opening_model
from prunekit.ui.state.codecs import (
    MOST,
    SHARE,
    TITLE,
    WHOLE_SHARE,
    WORDS,
    YES_NO,
    Codec,
    in_order,
    matching,
    number,
    one_of,
    real,
    several,
    whole,
)
from prunekit.ui.state.compatible import fit
from prunekit.ui.state.settings import DEFAULT_MODEL, Settings

MOST_NAMES, MOST_NUMBERS, MOST_CLASSES = 200, 64, 1000


def pattern(text: str) -> str:
    """Read a pattern N:M."""
    try:
        return kinds.Pattern()("pattern", text)
    except SpecError:
        raise ValueError("N:M with 0 < N < M, such as 2:4") from None


def named_share(text: str) -> tuple[str, float]:
    """Return a name and its share of something like ``item-50``."""
    name, _, share = text.rpartition("-")
    if not re.fullmatch(r"[\w.-]{1,200}", name):
        raise ValueError("a name and a share in percent, such as item-50")
    return name, SHARE.read(share)


PLAIN: dict[type, Codec] = {
    kinds.YesNo: YES_NO,
    kinds.Text: matching(WORDS, "up to 60 characters"),
    kinds.Pattern: Codec(str, pattern),
    several_kinds.Names: several(matching(r"[\w.-]{1,200}", "a name such as layer1.0"), MOST_NAMES, mark="~"),
    several_kinds.Shares: several(Codec(lambda pair: f"{pair[0]}-{SHARE.write(pair[1])}", named_share), MOST_NAMES, mark="~"),
    several_kinds.Titles: several(matching(TITLE, "a name"), MOST_CLASSES, mark="~", twice="refused"),
}


def codec_of(kind: Any) -> Codec:
    """Return the codec of a kind of value; a codec is its own."""
    match kind:
        case Codec():
            found = kind
        case kinds.Whole(screen=(low, high)):
            found = whole(low, high)
        case kinds.Number(screen=(low, high)):
            found = number(low, high)
        case kinds.Share(whole=to_the_end):
            found = WHOLE_SHARE if to_the_end else SHARE
        case kinds.OneOf(titles=titles):
            found = Codec(str, lambda text: one_of({str(value): value for value in titles}).read(text))  # plugins may add some
        case several_kinds.Several(one=kinds.OneOf(titles=titles), most=most):  # _ stands between values
            words = several(one_of({re.sub("[_ ]", ".", value): value for value in titles}), most)
            found = _checked(words, kind)
        case several_kinds.Several(one=one, most=most):
            found = several(codec_of(one), most)
        case several_kinds.Numbers():
            found = _checked(in_order(Codec("{:.10g}".format, real), MOST_NUMBERS), kind)
        case _:
            found = PLAIN[type(kind)]
    return found


def _checked(codec: Codec, kind: kinds.Kind) -> Codec:
    """Return a codec that reads only what a kind of value takes, in its one canonical form."""

    def read(text: str) -> Any:
        try:
            return kind("", codec.read(text))
        except SpecError:
            raise ValueError(kind.allowed) from None

    return Codec(codec.write, read)


FIRST = (
    "part lesson knobs guess asked shown done large keep runs tab relative by layer pair behind flips sheet x y bound bound_on kind tagged "
    "find sort every opened model pretrained upload data limit mode sparsity criterion scope layers overrides caps cap_all pattern target "
    "round_to samples units depth blocks seed shelf pick view scale focus curves split drop batch threads runtimes device also budget "
    "recalibrate epochs optimizer lr rate augment distill temperature schedule steps train_images images across down evaluations repeats "
    "goal goal_share"
)
"""The order in which version 0.4.0 wrote what it knew: the same picks give the same address, to the byte. What came later follows."""
KNOWN = {name: place for place, name in enumerate(FIRST.split())}
FIELDS = {row.address: row.name for row in table(Settings).values() if row.address}
CODECS = {row.address: codec_of(row.kind) for row in table(Settings).values() if row.address}


def encode(settings: Settings) -> dict[str, str]:
    """Return the parameters of the address: only what differs from the defaults."""
    home = opening_model()
    # where models were named at launch the address always says which is meant: it may be opened at another server
    plain = Settings(model=home if home == DEFAULT_MODEL else "", scope=default_scope(settings.mode))
    changed = (name for name, field in FIELDS.items() if getattr(settings, field) != getattr(plain, field))
    return {
        name: CODECS[name].write(getattr(settings, FIELDS[name])) for name in sorted(changed, key=lambda name: KNOWN.get(name, len(KNOWN)))
    }


def decode(parameters: Mapping[str, str]) -> tuple[Settings, list[str]]:
    """Return the settings of an address, and what could not be read (it keeps its default) or does not go together, in sentences."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, text in parameters.items():
        if name not in FIELDS:
            problems.append(f"`{_shown(name)}` is not a setting; it was left out.")
            continue
        try:
            values[FIELDS[name]] = CODECS[name].read(text[:MOST])
        except ValueError as error:
            problems.append(f"`{name}` in the address should be {error}, not `{_shown(text)}`; the default is used.")
    values.setdefault("model", opening_model())
    values.setdefault("scope", default_scope(values.get("mode", MODES[0])))
    settings, changes = fit(Settings(**values))
    return settings, problems + changes


def _shown(text: str) -> str:
    """Return foreign text fit for showing: short, and without Markdown."""
    return re.sub(r"[^\w .,:/~-]", "?", text[:40])
