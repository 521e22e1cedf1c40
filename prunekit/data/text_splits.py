"""Splits of text as token ids: texts with a class each, and windows of running text with the token that follows each place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from prunekit.data.dataset import Picture, Split
from prunekit.data.stratified import Indices, spread
from prunekit.data.tokenisers import Coding
from prunekit.errors import DataError
from prunekit.tasks.batch import Batch
from prunekit.tasks.language_modelling import CHARACTERS, DOCUMENT, IGNORED, NEXT

MOST_BYTES = 2**27
"""Scores of windows that are run at once: a large vocabulary has a score for each of its tokens at each place."""
BLOCK = 16
"""Windows in a row of one running text that are resampled together: what is near each other is alike."""
Own = TypeVar("Own", bound="IdSplit")


class IdSplit(Split):
    """Samples that a model reads as token ids."""

    coding: Coding  # how text became ids
    ids: Tensor  # ids, there: [n, tokens]: ids, and which of them are no padding
    there: Tensor
    pictured = False

    def targets_at(self, indices: Indices) -> Any:
        """Return the targets of some samples."""
        raise NotImplementedError

    def text(self, i: int) -> str:
        """Return what sample ``i`` says."""
        return self.coding.tokeniser.decode(self.ids[i][self.there[i]].tolist())

    def images(self, indices: Indices) -> Any:
        """Return ids as the model takes them: int64 [n, tokens], or a dict of it and its mask."""
        places = torch.from_numpy(np.asarray(indices, dtype=np.int64))
        return self.coding.inputs(self.ids[places], self.there[places])

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return the inputs and the target of one sample."""
        place = np.array([range(len(self))[index]])  # negative indices count from the end; beyond it is an IndexError
        inputs, targets = (
            {name: each[0] for name, each in part.items()} if isinstance(part, dict) else part[0]
            for part in (self.images(place), self.targets_at(place))
        )
        return inputs, targets

    def batch_at(self, indices: Indices) -> Batch:
        """Return some samples as a batch."""
        return Batch.of(self.images(indices), self.targets_at(indices), len(indices))

    def picture(self, i: int) -> Picture:
        """Raise: a text has no picture."""
        raise DataError("a text has no picture: read it with text()")

    def _identity(self) -> Iterator[bytes]:
        yield repr((tuple(self.ids.shape), self.coding.keywords)).encode()
        yield self.ids.contiguous().numpy().tobytes()
        yield self.there.contiguous().numpy().tobytes()

    def _with_source(self, part: Own) -> Own:
        """Return a part of the samples with what is known of them all."""
        part.code, part.guesses, part.classes, part.task = self.code, self.guesses, self.classes, self.task
        return part


class TextSplit(IdSplit):
    """Texts in a fixed order with a class each; they become ids when they are first asked for."""

    task = "text-classification"

    def __init__(self, texts: Sequence[str], labels: ArrayLike, coding: Coding, places: Sequence[int] | None = None) -> None:
        self.texts, self.labels, self.coding = tuple(texts), np.asarray(labels, dtype=np.int64), coding
        self.places = tuple(range(1, len(self.texts) + 1)) if places is None else tuple(places)
        if not self.texts or len(self.texts) != self.labels.size:
            raise DataError(f"texts need a class each; got {len(self.texts)} texts and {self.labels.size} classes")
        empty = next((place for place, text in zip(self.places, self.texts, strict=True) if not text.strip()), None)
        if empty is not None:
            raise DataError(f"text {empty} is empty: fill it in, or leave it out")

    @cached_property
    def _coded(self) -> tuple[Tensor, Tensor]:
        """Return ids and which of them are no padding."""
        length = self.coding.length
        ids = np.full((len(self.texts), length), self.coding.padding, dtype=np.int64)
        there = np.zeros(ids.shape, dtype=bool)
        for row, (place, text) in enumerate(zip(self.places, self.texts, strict=True)):
            found = self.coding.ids(text, f"text {place}")[:length]
            ids[row, : found.size], there[row, : found.size] = found, True
        return torch.from_numpy(ids), torch.from_numpy(there)

    @property
    def ids(self) -> Tensor:  # type: ignore[override]
        """Ids, int64 [n, tokens]."""
        return self._coded[0]

    @property
    def there(self) -> Tensor:  # type: ignore[override]
        """Which ids are no padding, bool [n, tokens]."""
        return self._coded[1]

    def text(self, i: int) -> str:
        """Return text ``i`` as it was written."""
        return self.texts[i]

    def targets_at(self, indices: Indices) -> Tensor:
        """Return the class indices of some texts, int64 [n]."""
        return torch.from_numpy(self.labels[np.asarray(indices, dtype=np.int64)])

    def take(self, indices: Indices) -> TextSplit:
        """Return the texts at ``indices``, in that order, as a split of its own."""
        chosen = [int(i) for i in indices]
        part = TextSplit([self.texts[i] for i in chosen], self.labels[chosen], self.coding, [self.places[i] for i in chosen])
        if "_coded" in vars(self):
            vars(part)["_coded"] = tuple(each[chosen] for each in self._coded)
        return self._with_source(part)


class WindowSplit(IdSplit):
    """Windows of running text, one behind the other, each with the token that follows each of its places.

    ``ids``, ``following`` [n, tokens]: tokens, and the next of each; `prunekit.tasks.language_modelling.IGNORED` where a window is filled
    up; ``characters``, ``documents`` [n]: how many characters the next tokens stand for, and which document a window is of.
    """

    task = "language-modelling"

    def __init__(self, ids: Tensor, following: Tensor, characters: NDArray[np.int64], documents: NDArray[np.int64], coding: Coding) -> None:
        self.ids, self.following, self.characters, self.documents, self.coding = ids, following, characters, documents, coding
        self.there = following != IGNORED

    @classmethod
    def of(cls, texts: Sequence[str], coding: Coding, name: str, *, blocks: bool = False) -> WindowSplit:
        """Return texts as windows that do not overlap; every token but the first of each text is predicted once."""
        parts, length, longest = [], coding.length, 0
        for number, text in enumerate(texts):
            found = coding.ids(text, f"{name}" if len(texts) == 1 else f"text {number + 1} of {name}")
            longest = max(longest, found.size)
            if found.size > 1:
                parts.append((number, *_windows(found, coding)))
        if longest <= length:
            what = "is" if len(texts) == 1 else "has no text longer than"
            raise DataError(
                f"{name} {what} {longest} tokens, and a window of {length} needs {length + 1}: choose a longer text, or shorter windows"
            )
        ids, following, characters = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3))
        documents = np.concatenate([np.full(len(part[1]), part[0]) for part in parts])
        if blocks:
            documents = np.arange(len(ids)) // BLOCK
        return cls(torch.from_numpy(ids), torch.from_numpy(following), characters, documents, coding)

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.ids)

    @property
    def at_once(self) -> int:
        """How many windows have scores, in float32, of at most `MOST_BYTES`; 1 at least."""
        return max(1, MOST_BYTES // (4 * self.coding.length * (self.coding.rows or getattr(self.coding.tokeniser, "size", None) or 1)))

    def targets_at(self, indices: Indices) -> dict[str, Tensor]:
        """Return the next tokens of some windows, their characters and their documents."""
        places = np.asarray(indices, dtype=np.int64)
        counted = {CHARACTERS: torch.from_numpy(self.characters[places]), DOCUMENT: torch.from_numpy(self.documents[places])}
        return {NEXT: self.following[torch.from_numpy(places)], **counted}

    def take(self, indices: Indices) -> WindowSplit:
        """Return the windows at ``indices``, in that order, as a split of its own."""
        places = np.asarray(indices, dtype=np.int64)
        at = torch.from_numpy(places)
        return self._with_source(
            WindowSplit(self.ids[at], self.following[at], self.characters[places], self.documents[places], self.coding)
        )

    def subset(self, n: int) -> WindowSplit:
        """Return a fixed choice of ``n`` windows in their order, or the split itself; a smaller choice is part of a larger one."""
        if n < 1:
            raise DataError(f"a limit must be at least 1 window; got {n!r}")
        return self if n >= len(self) else self.take(self.choice(n))

    def choice(self, n: int) -> Indices:
        """Return which windows `subset` chooses."""
        return spread(len(self), n)

    def fingerprint(self) -> str:
        """Return a sha256 over tokens, what follows them, and documents."""
        digest = hashlib.sha256()
        for part in self._identity():
            digest.update(part)
        digest.update(self.following.contiguous().numpy().tobytes() + self.characters.tobytes() + self.documents.tobytes())
        digest.update(self.code.encode())
        return digest.hexdigest()


def _windows(found: NDArray[np.int64], coding: Coding) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return a text's ids as windows, the next token of each place, and how many characters those of a window stand for."""
    length = coding.length
    count = -(-(found.size - 1) // length)
    ids = np.full(count * length, coding.padding, dtype=np.int64)
    following = np.full(count * length, IGNORED, dtype=np.int64)
    ids[: found.size - 1], following[: found.size - 1] = found[:-1], found[1:]
    rows = following.reshape(count, length)
    characters = np.array([len(coding.tokeniser.decode(row[row != IGNORED].tolist())) for row in rows], dtype=np.int64)
    return ids.reshape(count, length), rows, characters
