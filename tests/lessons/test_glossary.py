"""The glossary: every word once, every paper as the criteria cite it."""

from __future__ import annotations

import re

import pytest

from prunekit.criteria.methods import CRITERIA
from prunekit.errors import PrunekitError
from prunekit.lessons.glossary import PAPERS, TERMS, Paper, term
from prunekit.lessons.lesson import LESSONS


def test_every_word_stands_once_in_order_with_an_address_of_its_own() -> None:
    words = [found.word for found in TERMS]
    assert words == sorted(set(words), key=str.lower)
    assert len({found.key for found in TERMS}) == len(words)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", found.key) for found in TERMS)


def test_every_word_is_found_and_an_unknown_one_is_refused() -> None:
    for lesson in LESSONS:
        for word in lesson.terms:
            assert term(word).word == word
    with pytest.raises(PrunekitError, match="no word"):
        term("hydraulics")


@pytest.mark.parametrize(("word", "criterion"), [("LAMP", "lamp"), ("Taylor", "taylor"), ("SNIP", "snip"), ("Wanda", "wanda"),
                                                 ("FPGM", "fpgm"), ("BatchNorm scale", "bn_scale"), ("magnitude", "l1")])  # fmt: skip
def test_a_criterion_has_the_paper_that_the_core_cites(word: str, criterion: str) -> None:
    paper = term(word).paper
    assert paper is not None
    assert f"arXiv:{paper.arxiv}" in CRITERIA[criterion].source
    assert f"{paper.authors.split(',')[0].removesuffix(' et al.')} et al. {paper.year}" in CRITERIA[criterion].source


@pytest.mark.parametrize("paper", PAPERS.values(), ids=lambda paper: f"{paper.authors} {paper.year}")
def test_a_paper_has_a_number_on_arxiv_of_its_time_or_a_place(paper: Paper) -> None:
    assert bool(paper.arxiv) != bool(paper.place)
    if paper.arxiv:
        assert re.fullmatch(r"\d{4}\.\d{5}", paper.arxiv)
        # a paper is put there in the year of its publication or the one or two before
        assert 0 <= paper.year - (2000 + int(paper.arxiv[:2])) <= 2
        assert paper.link.endswith(paper.arxiv)
    assert str(paper.year) in str(paper)
    assert paper.title in str(paper)


def test_every_paper_belongs_to_a_word() -> None:
    assert set(PAPERS.values()) == {found.paper for found in TERMS if found.paper is not None}
