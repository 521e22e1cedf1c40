"""The field's words in plain ones, and the papers behind them, as `content/glossary.toml` has them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from prunekit.errors import PrunekitError
from prunekit.lessons.lesson import content


@dataclass(frozen=True)
class Paper:
    """Where something comes from.

    Attributes
    ----------
    authors : str
        Family names; "et al." after the first where there are more than four.
    year : int
        Of the publication.
    title : str
        In full.
    arxiv : str
        Its number on arXiv, or empty.
    place : str
        Journal or conference, where it is not on arXiv.
    """

    authors: str
    year: int
    title: str
    arxiv: str = ""
    place: str = ""

    def __str__(self) -> str:
        """Return the citation in one line."""
        where = f"arXiv:{self.arxiv}" if self.arxiv else self.place
        return f"{self.authors} {self.year}, {self.title}, {where}"

    @property
    def link(self) -> str:
        """Its address; empty where it has no number on arXiv."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else ""


@dataclass(frozen=True)
class Term:
    """One word.

    Attributes
    ----------
    word : str
        As the lessons use it.
    meaning : str
        One or two plain sentences.
    paper : Paper or None
        Where it comes from, for what has one source.
    """

    word: str
    meaning: str
    paper: Paper | None = None

    @property
    def key(self) -> str:
        """The word as part of an address: ``n-m-sparsity``."""
        return re.sub(r"[^a-z0-9]+", "-", self.word.lower()).strip("-")


_TOLD = content("glossary")
PAPERS: dict[str, Paper] = {key: Paper(**told) for key, told in _TOLD["papers"].items()}
TERMS: tuple[Term, ...] = tuple(Term(word, told["meaning"], PAPERS.get(told.get("paper"))) for word, told in _TOLD["terms"].items())


def term(word: str) -> Term:
    """Return a word of the glossary.

    Raises
    ------
    PrunekitError
        If it has no such word.
    """
    for found in TERMS:
        if found.word == word:
            return found
    raise PrunekitError(f"the glossary has no word {word!r}")
