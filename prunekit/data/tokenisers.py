"""Tokenisers: what a model brings to read text, and ids that it can hold."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from prunekit.errors import DataError

LENGTH = 128
"""Tokens of a text or of a window, where nobody says how many the model takes."""


@runtime_checkable
class Tokeniser(Protocol):
    """Text to ids and back.

    Three attributes may tell more: ``size``, how many ids there are, ``padding``, the id that fills up short texts (else 0), and
    ``length``, how many tokens of a text the model is given (else as many as its example has).
    """

    def encode(self, text: str) -> Sequence[int]:
        """Return the ids of a text."""

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids."""


@dataclass(frozen=True)
class Coding:
    """How texts become what a model takes."""

    tokeniser: Tokeniser  # the model's own, or that of the data's sample
    length: int = LENGTH  # tokens of each text or window
    rows: int | None = None  # of the model's embedding: ids are below it
    # what the model calls the ids and a mask of those that are no padding, as in ``("input_ids", "attention_mask")``; ``()`` for ids alone,
    # by position
    keywords: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that tokeniser and model fit."""
        if not isinstance(self.tokeniser, Tokeniser):
            raise DataError(
                f"a tokeniser has encode(text) -> ids and decode(ids) -> text; the model's factory names a {type(self.tokeniser).__name__}"
            )
        size = getattr(self.tokeniser, "size", None)
        if size is not None and self.rows is not None and size > self.rows:
            raise DataError(
                f"the tokeniser knows {size:,} tokens and the model's embedding holds {self.rows:,}: choose the tokeniser that the model "
                "was trained with (the attribute tokeniser of its factory)"
            )

    @property
    def padding(self) -> int:
        """The id that fills up short texts."""
        return int(getattr(self.tokeniser, "padding", 0) or 0)

    def ids(self, text: str, where: str) -> NDArray[np.int64]:
        """Return the ids of a text."""
        try:
            found = np.asarray(self.tokeniser.encode(text), dtype=np.int64).reshape(-1)
        except (ValueError, TypeError, KeyError, IndexError) as error:
            said = " ".join(str(error).split())
            raise DataError(f"the tokeniser cannot read {where}: {said}. Choose other text, or a model whose tokeniser knows it") from error
        if not found.size:
            raise DataError(f"{where} is empty: fill it in, or leave it out")
        wrong = found[(found < 0) | (found >= (self.rows or np.iinfo(np.int64).max))]
        if wrong.size:
            raise DataError(
                f"the tokeniser gives id {wrong[0]} in {where}, and the model's embedding has rows 0..{(self.rows or 0) - 1}: choose the "
                "tokeniser that the model was trained with"
            )
        return found

    def inputs(self, ids: Any, there: Any) -> Any:
        """Return ids [n, tokens] as the model takes them, beside which of them are no padding."""
        return dict(zip(self.keywords, (ids, there.long()), strict=False)) if self.keywords else ids
