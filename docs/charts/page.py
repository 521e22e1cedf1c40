"""The numbers of the page: kept in a file, and written into the text where it marks them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from charts.base import Quote
from prunekit.errors import PrunekitError

DOCS = Path(__file__).resolve().parents[1]
PAGE = DOCS / "methods.md"
IMAGES = DOCS / "images" / "methods"
NUMBERS = IMAGES / "numbers.json"
MARK = re.compile(r"<!-- n:(\S+) -->(.*?)<!-- /n -->")

Numbers = dict[str, dict[str, Any]]


def read_numbers() -> Numbers:
    """Return for each chart the hashes of its ``models``, and the ``quotes``: key to ``value`` and ``text``."""
    return json.loads(NUMBERS.read_text(encoding="utf-8")) if NUMBERS.exists() else {}


def write_numbers(numbers: Numbers) -> None:
    """Write the numbers, charts and keys in the order of the alphabet."""
    NUMBERS.write_text(json.dumps(numbers, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def entry(models: dict[str, str], quotes: dict[str, Quote]) -> dict[str, Any]:
    """Return what the file holds of one chart."""
    return {"models": models, "quotes": {key: {"value": quote.value, "text": quote.text} for key, quote in quotes.items()}}


def texts(numbers: Numbers) -> dict[str, str]:
    """Return every number as it is read, by its key ``CHART.KEY``."""
    return {f"{chart}.{key}": quote["text"] for chart, entry in numbers.items() for key, quote in entry["quotes"].items()}


def marked(page: str) -> list[tuple[str, str]]:
    """Return the key and the text of every marked number of a page."""
    return MARK.findall(page)


def filled(page: str, known: dict[str, str]) -> str:
    """Return a page with its marked numbers filled in.

    Raises
    ------
    PrunekitError
        If it marks a number that no chart gives.
    """
    unknown = sorted({key for key, _ in marked(page)} - set(known))
    if unknown:
        raise PrunekitError(f"{PAGE.name} marks numbers that no chart gives: {', '.join(unknown)}")
    return MARK.sub(lambda match: f"<!-- n:{match[1]} -->{known[match[1]]}<!-- /n -->", page)
