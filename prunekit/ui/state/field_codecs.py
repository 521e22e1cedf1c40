"""How the value of a field stands in an address, by its kind."""

from __future__ import annotations

import re
from typing import Any

from prunekit.config import kinds, several_kinds
from prunekit.errors import SpecError
from prunekit.ui.state.codecs import (
    SHARE,
    WHOLE_SHARE,
    WORDS,
    YES_NO,
    Codec,
    in_order,
    matching,
    names,
    number,
    one_of,
    real,
    several,
    titles,
    whole,
)

MOST_NAMES, MOST_NUMBERS, MOST_CLASSES = 200, 64, 1000


def pattern(text: str) -> str:
    """Read a pattern N:M."""
    try:
        return kinds.Pattern()("pattern", text)
    except SpecError:
        raise ValueError("N:M with 0 < N < M, such as 2:4") from None


PLAIN: dict[type, Codec] = {
    kinds.YesNo: YES_NO,
    kinds.Text: matching(WORDS, "up to 60 characters"),
    kinds.Pattern: Codec(str, pattern),
    several_kinds.Names: names(MOST_NAMES),
    several_kinds.Titles: titles(MOST_CLASSES),
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
