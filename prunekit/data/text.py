"""Text that ships with prunekit, ``reviews`` and ``shakespeare``, and texts as data: with a class each, or to go on with."""

from __future__ import annotations

import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from prunekit.config.ids import DataId
from prunekit.data.dataset import Data
from prunekit.data.text_splits import TextSplit, WindowSplit
from prunekit.data.tokenisers import LENGTH, Coding
from prunekit.errors import DataError, ModelError
from prunekit.local_code.factories import load_factory
from prunekit.models.info import ModelInfo
from prunekit.tasks.shown import Reader
from sample_models import in_folder

if TYPE_CHECKING:
    import pandas as pd

SHIPPED = Path(__file__).with_name("shipped")
REVIEWS, SHAKESPEARE = "reviews", "shakespeare"
RATING = f"{REVIEWS}:rating"
DEPARTMENTS = ("Tops", "Dresses", "Bottoms", "Intimate", "Jackets")
FEELINGS = ("negative", "positive")
REVIEWS_TEST, REVIEWS_VALIDATION = 2000, 2500
LAST = 0.05
"""Share of a running text that is held out for validation, and the same again, at its end, for the test."""
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Texts:
    """Texts of one part of the data, with their classes where they have some."""

    texts: Sequence[str]
    labels: Sequence[int] | None = None
    places: Sequence[int] | None = None  # what to call each text in errors


def coding_of(data_id: DataId, known: ModelInfo, sample: str | None = None) -> Coding:
    """Return how texts become what a model takes: by its own tokeniser, else by that of the sample that the data belong to."""
    if data_id.mean or data_id.std:
        raise DataError(f"{data_id.name} is text, which has no pixels to normalise: leave mean and std out")
    tokeniser = known.tokeniser
    if tokeniser is None and sample is not None:
        tokeniser = load_factory(in_folder(sample, "model"), ModelError).tokeniser
    if tokeniser is None:
        folder = getattr(known.id, "name", "").startswith("hf:")
        todo = (
            "put the tokenizer.json that it was trained with into its folder"
            if folder
            else "give its factory an attribute tokeniser with encode(text) -> ids and decode(ids) -> text"
        )
        raise DataError(
            f"{data_id.name} is text, and nobody says how the model reads it: {todo}, or choose a model that has one (reviews_encoder, "
            "shakespeare_gpt)"
        )
    return _coding(tokeniser, known, data_id.size)


def _coding(tokeniser: Any, known: ModelInfo, length: int | None = None) -> Coding:
    """Return how a tokeniser's ids go into a model, in texts of a length or of that which the model names."""
    shape = known.input_shape
    told = shape[0] if shape is not None and len(shape) == 1 and not known.guessed else LENGTH
    many = length or getattr(tokeniser, "length", None) or told
    return Coding(tokeniser, many, known.vocabulary, tuple(getattr(tokeniser, "keywords", ())))


def labelled(data_id: DataId, parts: Mapping[str, Texts], classes: tuple[str, ...], coding: Coding, said: str) -> Data:
    """Return texts with a class each as data."""
    splits = {name: TextSplit(part.texts, part.labels or (), coding, part.places) for name, part in parts.items()}
    how = f"{said} Each is cut after {coding.length} tokens."
    return Data(data_id, splits["test"], splits.get("train"), splits.get("validation"), classes, how, task=TextSplit.task)


def running(data_id: DataId, parts: Mapping[str, Sequence[str]], coding: Coding, said: str, *, blocks: bool) -> Data:
    """Return running texts as data: windows, and the token that follows each place."""
    splits = {name: WindowSplit.of(texts, coding, f"the {name} part of {data_id.name}", blocks=blocks) for name, texts in parts.items()}
    how = f"{said} Windows of {coding.length} tokens, one behind the other."
    return Data(data_id, splits["test"], splits.get("train"), splits.get("validation"), (), how, task=WindowSplit.task)


def by_position(text: str) -> dict[str, list[str]]:
    """Return the parts of one text: all but its last tenth to learn from, half of that for validation, its end for the test."""
    first, second = int((1 - 2 * LAST) * len(text)), int((1 - LAST) * len(text))
    return {"train": [text[:first]], "validation": [text[first:second]], "test": [text[second:]]}


@cache
def reviews_table() -> pd.DataFrame:
    """Return 22,503 reviews of clothes: department, rating, recommended and text, in a fixed random order."""
    import pandas as pd  # noqa: PLC0415 (slow to import)

    return pd.read_csv(SHIPPED / "reviews.csv.xz")


def load_reviews(data_id: DataId, known: ModelInfo) -> Data:
    """Return reviews of clothes with the department of each, or (``reviews:rating``) whether it is positive or negative.

    2,000 texts for the test, 2,500 for validation, the others to learn from: parts of one fixed random order. Ratings 4 and 5 are positive,
    1 and 2 negative; 3 is left out.
    """
    coding = coding_of(data_id, known, "reviews_encoder")
    table = reviews_table()
    ends = {"test": (0, REVIEWS_TEST), "validation": (REVIEWS_TEST, REVIEWS_TEST + REVIEWS_VALIDATION)}
    ends["train"] = (REVIEWS_TEST + REVIEWS_VALIDATION, len(table))
    feelings, parts = data_id.name == RATING, {}
    for name in PARTS:
        rows = table.iloc[slice(*ends[name])]
        rows = rows[rows.rating != 3] if feelings else rows
        labels = (rows.rating > 3).astype(int).tolist() if feelings else [DEPARTMENTS.index(each) for each in rows.department]
        parts[name] = Texts(rows.text.tolist(), labels, (rows.index + 1).tolist())
    what = "whether its rating is 4 or 5 stars or at most 2" if feelings else "the department it is about"
    return labelled(data_id, parts, FEELINGS if feelings else DEPARTMENTS, coding, f"Reviews of women's clothes (CC0), and {what}.")


def shakespeare_text() -> str:
    """Return the plays as they ship."""
    return lzma.decompress((SHIPPED / "shakespeare.txt.xz").read_bytes()).decode()


def load_shakespeare(data_id: DataId, known: ModelInfo) -> Data:
    """Return 1.1 million characters of Shakespeare's plays as windows, and the character that follows each place.

    The first nine tenths to learn from; of the last, which others use for validation as a whole, the first half for validation and the
    second for the test. Sixteen windows in a row count as a document.
    """
    coding = coding_of(data_id, known, "shakespeare_gpt")
    said = "Plays of Shakespeare, 1,115,394 characters: the first 90 % to learn from, 5 % for validation, the last 5 % for the test."
    return running(data_id, by_position(shakespeare_text()), coding, said, blocks=True)


def shared_out(n: int) -> dict[str, Any]:
    """Return the places of so many texts in a fixed random order: a fifth each for validation and for the test."""
    order, part = np.random.default_rng(1).permutation(n), max(1, round(0.2 * n))
    test, validation, train = np.split(order, [part, 2 * part])
    return {"train": train, "validation": validation, "test": test}


def reader_of(known: ModelInfo, data: Data | None) -> Reader:
    """Return how a model reads a text, and what its outputs are called: as its data are read, else by its own tokeniser."""
    coding = getattr(None if data is None else data.test, "coding", None)
    if coding is None and known.tokeniser is not None:
        coding = _coding(known.tokeniser, known)
    wording = getattr(None if data is None else data.test, "wording", None)
    return Reader(coding, (data.classes if data is not None else ()) or known.classes, getattr(wording, "called", None))
