"""Accuracy on the same images: which ones most runs were measured on, and what was seen there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from prunekit.catalog.ids import DataId
from prunekit.runs.identity import this_machine
from prunekit.runs.images import INT8
from prunekit.runs.records import Measurement, Run


class Images(NamedTuple):
    """Certain images: the fingerprint of the split, and how many of it."""

    data_hash: str
    images: int


def eligible(run: Run, seen: Iterable[Measurement], data: DataId | str | None, split: str) -> list[Measurement]:
    """Return the accuracies of a run that could stand in a comparison, those that can be vouched for and those of this machine first.

    Parameters
    ----------
    run : Run
        Of a quantised one, those in its own runtime count.
    seen : iterable of Measurement
        All of it.
    data : DataId or str or None
        Only on these data.
    split : str
        Only on this part of them.
    """
    found = [m for m in seen if m.what == "accuracy" and m.split == split and m.correct is not None and _is_of(m.data, data)]
    own = "int8" if run.info.get("file") == INT8 else "eager"
    found = [m for m in found if m.runtime == own]
    here = dict(this_machine())
    return sorted(sorted(found, key=lambda m: m.created, reverse=True), key=lambda m: (m.earlier, m.machine != here))


def _is_of(plain: Mapping[str, Any], data: DataId | str | None) -> bool:
    """Whether a measurement is of the data that were asked for."""
    if data is None:
        return True
    return plain == data.to_dict() if isinstance(data, DataId) else plain.get("name") == data


def most_measured(seen: Sequence[Sequence[Measurement]]) -> Measurement | None:
    """Return a measurement on the images that most runs were measured on; among equals the most images, then the latest.

    Parameters
    ----------
    seen : sequence of sequence of Measurement
        One for each run.
    """
    counts: dict[Images, int] = {}
    for each in seen:
        for images in {_images(m) for m in each}:
            counts[images] = counts.get(images, 0) + 1
    every = [m for each in seen for m in each]
    return max(every, key=lambda m: (counts[_images(m)], not m.earlier, m.images, m.created), default=None)


def _images(measurement: Measurement) -> Images:
    """Return which images were used."""
    return Images(measurement.data_hash, measurement.images)


def on_these(seen: Sequence[Measurement], chosen: Measurement | None) -> Measurement | None:
    """Return the accuracy of a run on the images of another measurement, None where there is none."""
    return None if chosen is None else next((m for m in seen if _images(m) == _images(chosen)), None)
