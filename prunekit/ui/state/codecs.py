"""How the values of an address become text and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from prunekit.config.fields import setting

MOST = 4096  # places of layers, and characters of one value
WORDS = r"[^<>`\x00-\x1f]{1,60}"  # free text, such as a tag
TITLE = r"[^<>`~,\x00-\x1f]{1,60}"  # the name of a class


@dataclass(frozen=True)
class Codec:
    """How one field becomes text and back; ``read`` raises ValueError with what is allowed."""

    write: Callable[[Any], str]
    read: Callable[[str], Any]


def ranges(values: Iterable[int]) -> str:
    """Return whole numbers compactly, ``0, 1, 2, 5`` as ``0-2_5``."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return "_".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def places(text: str) -> tuple[int, ...]:
    """Read what ``ranges`` wrote."""
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


def percent(value: float) -> str:
    """Return a fraction as percent without trailing zeros."""
    return f"{round(100 * value, 6):.10g}"


def fraction(text: str) -> float:
    """Read a percentage as a fraction in [0, 1)."""
    if not re.fullmatch(r"\d{1,2}(\.\d{1,6})?", text):
        raise ValueError("a percentage from 0 to below 100")
    return round(float(text) / 100, 8)


def _shares(joint: bool) -> Codec:
    """Return the codec of shares of layers, ``place~percent`` pairs, or of sets of layers, ``place.place~percent``."""
    form = "sets such as `3.4~30_7.8~55.5` (layer numbers" if joint else "pairs such as `3~30_7~55.5` (layer number"

    def write(value: Iterable[tuple[Any, float]]) -> str:
        return "_".join(f"{'.'.join(map(str, key if joint else (key,)))}~{percent(share)}" for key, share in sorted(value))

    def read(text: str) -> tuple[tuple[Any, float], ...]:
        found: dict[tuple[int, ...], float] = {}
        for part in text.split("_"):
            key, tilde, share = part.partition("~")
            if not tilde or not re.fullmatch(r"\d{1,4}(\.\d{1,4})*" if joint else r"\d{1,4}", key):
                raise ValueError(f"{form} ~ percent), each layer once")
            members = tuple(sorted(map(int, key.split("."))))
            if len(set(members)) < len(members) or any(not set(members).isdisjoint(other) for other in found):
                raise ValueError(f"{form} ~ percent), each layer once")
            found[members] = fraction(share)
        return tuple((members if joint else members[0], share) for members, share in sorted(found.items()))

    return Codec(write, read)


def one_of(written: Mapping[str, Any]) -> Codec:
    """Return the codec of one value out of several, by the word of each."""
    words = {value: word for word, value in written.items()}

    def read(text: str) -> Any:
        if text not in written:
            raise ValueError("one of " + ", ".join(written))
        return written[text]

    return Codec(words.__getitem__, read)


def choice(*allowed: str) -> Codec:
    """Return the codec of one word out of several."""
    return one_of({word: word for word in allowed})


def whole(low: int, high: int) -> Codec:
    """Return the codec of a whole number between two bounds."""

    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,19}", text) or not low <= int(text) <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return int(text)

    return Codec(str, read)


def matching(pattern: str, allowed: str) -> Codec:
    """Return the codec of a word of a certain form."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(allowed)
        return text

    return Codec(str, read)


def several(one: Codec, most: int, *, mark: str = "_", twice: str = "once") -> Codec:
    """Return the codec of some values in their order; one that stands there twice counts ``once``, is ``kept``, or ``refused``."""

    def read(text: str) -> tuple[Any, ...]:
        parts = text.split(mark)
        try:
            found = tuple(map(one.read, parts))
        except ValueError as error:
            raise ValueError(f"up to {most}, each {error}, with {mark} between them") from None
        different = tuple(dict.fromkeys(found))
        if len(parts) > most or (twice == "refused" and different != found):
            raise ValueError(f"at most {most}{' different ones' if twice == 'refused' else ''}, with {mark} between them")
        return found if twice == "kept" else different

    return Codec(lambda values: mark.join(map(one.write, values)), read)


def in_order(one: Codec, most: int) -> Codec:
    """Return the codec of some values in their order, among which some may be equal."""
    return several(one, most, twice="kept")


def places_up_to(last: int) -> Codec:
    """Return the codec of different whole numbers from 1 on, written as ranges."""

    def read(text: str) -> tuple[int, ...]:
        found = places(text)
        if found[0] < 1 or found[-1] > last:
            raise ValueError(f"numbers from 1 to {last}, such as 1-3_5")
        return found

    return Codec(ranges, read)


def number(low: float, high: float) -> Codec:
    """Return the codec of a decimal number between two bounds."""

    def read(text: str) -> float:
        if not re.fullmatch(r"\d{1,4}(\.\d{1,8})?(e-\d{1,2})?", text) or not low <= float(text) <= high:
            raise ValueError(f"a number from {low:g} to {high:g}")
        return float(text)

    return Codec(lambda value: f"{value:.10g}", read)


def real(text: str) -> float:
    """Read a decimal number."""
    if not re.fullmatch(r"-?\d{1,9}(\.\d{1,13})?(e-\d{1,2})?", text):  # ten figures, and up to three noughts before
        raise ValueError("numbers such as 0.5_0.25")
    return float(text)


def amount() -> Codec:
    """Return the codec of a positive amount in whatever unit: a share, or bytes."""

    def read(text: str) -> float:
        if not re.fullmatch(r"\d{1,15}(\.\d{1,8})?", text):
            raise ValueError("a positive number")
        return float(text)

    return Codec(lambda value: f"{value:.8f}".rstrip("0").rstrip("."), read)


LONGEST = 2000  # characters of a prompt
PROMPT = matching(rf"[^\x00-\x09\x0b-\x1f\x7f]{{1,{LONGEST}}}", f"a text of up to {LONGEST:,} characters")
RUN = matching(r"[0-9a-f]{12}", "12 hexadecimal digits")
PLACE = whole(0, MOST - 1)
YES_NO = Codec(lambda value: str(int(value)), lambda text: bool(whole(0, 1).read(text)))
PLACES = Codec(ranges, places)
SHARES, JOINT = _shares(joint=False), _shares(joint=True)
SHARE = Codec(percent, fraction)
WHOLE_SHARE = Codec(percent, lambda text: 1.0 if text == "100" else fraction(text))


def pick(default: Any, codec: Codec) -> Any:
    """Return a field of what is looked at, which the screen alone knows: it stands in the address, and has no flag and no label."""
    return setting(default, codec, "", flag="")
