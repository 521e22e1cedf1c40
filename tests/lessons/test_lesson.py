"""What a lesson is made of: guesses and controls are checked, verdicts are exact."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunekit.errors import PrunekitError
from prunekit.lessons.answer import Answer
from prunekit.lessons.course import answer_of
from prunekit.lessons.glossary import TERMS
from prunekit.lessons.lesson import LESSONS, Control, Guess
from prunekit.lessons.settings import percent

SCALE = Guess("number", "Share", "%")
WORDS = Guess("choice", "Which", options=("this one", "that one"))
CELLS = Control("cells", "Cells", "cells", 0, 24, start=(0, 1))


def answer(value: float | str, guess: Guess, near: float = 0.05) -> Answer:
    shown = value if isinstance(value, str) else percent(value / 100)
    return Answer(value, shown, ("", ""), {}, {}, {}, replace(guess, near=near))


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 10))
def test_a_number_is_right_exactly_where_it_is_near_enough(guess: float, value: float, near: float) -> None:
    verdict = answer(value, SCALE, near).verdict(guess)
    assert verdict.right == (abs(guess - value) <= near)


@given(st.integers(0, 100), st.integers(0, 100))
def test_a_wrong_number_is_told_how_far_off_it_was_and_to_which_side(guess: int, value: int) -> None:
    sentence = answer(value, SCALE).verdict(guess).sentence
    off = abs(guess - value)
    if off:
        assert f"{off} point{'' if off == 1 else 's'} too {'high' if guess > value else 'low'}" in sentence
        assert f"You said {guess} %" in sentence
    else:
        assert sentence.startswith("Exactly")


@pytest.mark.parametrize("guess", WORDS.options)
def test_a_choice_is_right_where_it_is_the_one_that_was_measured(guess: str) -> None:
    verdict = answer("that one", WORDS).verdict(guess)
    assert verdict.right == (guess == "that one")
    assert "that one" in verdict.sentence


@pytest.mark.parametrize("guess", [-1, 101, float("nan"), True, "50", None])
def test_a_number_off_the_scale_is_refused_with_the_scale(guess: object) -> None:
    with pytest.raises(PrunekitError, match="0 to 100"):
        answer(50, SCALE).verdict(guess)


def test_a_choice_that_is_no_option_is_refused_with_the_options() -> None:
    with pytest.raises(PrunekitError, match="this one, that one"):
        answer("this one", WORDS).verdict("neither")


@given(st.lists(st.integers(0, 24)))
def test_cells_have_one_form_whatever_their_order(cells: list[int]) -> None:
    assert CELLS.checked(cells) == CELLS.checked(tuple(reversed(cells))) == tuple(sorted(set(cells)))


@pytest.mark.parametrize("value", [(25,), (-1,), "12", 3, (0.5,), None])
def test_cells_that_do_not_exist_are_refused(value: object) -> None:
    with pytest.raises(PrunekitError, match="cells"):
        CELLS.checked(value)


def test_a_slider_stands_on_its_steps_only() -> None:
    slider = Control("share", "Share", "slider", 50, 95, 5, start=90)
    assert [slider.checked(value) for value in (50, 95.0)] == [50, 95]
    for value in (52, 45, 100, 50.5, True):
        with pytest.raises(PrunekitError, match="share"):
            slider.checked(value)


def test_the_lessons_are_in_order_each_with_a_name_of_its_own() -> None:
    assert [lesson.number for lesson in LESSONS] == list(range(1, 13))
    assert len({lesson.key for lesson in LESSONS}) == 12


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.key)
def test_every_control_can_stand_where_it_starts_and_every_question_is_filled_in(lesson) -> None:
    assert lesson.checked() == lesson.starts
    assert 1 <= len(lesson.controls) <= 2
    assert lesson.question.endswith("?")
    assert "{" not in lesson.question
    assert set(lesson.terms) <= {term.word for term in TERMS}
    assert (lesson.guess.kind == "choice") == bool(lesson.guess.options)


@pytest.mark.parametrize("lesson", [each for each in LESSONS if not each.explores], ids=lambda lesson: lesson.key)
def test_the_question_says_where_the_controls_stand(lesson) -> None:
    for control in lesson.controls:
        others = [key for key, _ in control.options] or [control.high] if control.kind != "cells" else [(0, 1)]
        assert any(lesson.asked(**{control.name: value}) != lesson.question for value in others)


def test_an_unknown_lesson_control_or_value_is_refused_before_anything_is_measured() -> None:
    for number in (0, 13, "1", None, True):
        with pytest.raises(PrunekitError, match="lessons 1 to 12"):
            answer_of(number)
    with pytest.raises(PrunekitError, match="no control sparsity; it has cells"):
        answer_of(2, sparsity=3)
    with pytest.raises(PrunekitError, match="epochs"):
        answer_of(6, epochs=50)
