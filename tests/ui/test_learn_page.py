"""The Learn page: a guess comes before the measurement, the answer is the core's, and everything is in the address."""

import html
import json

import pandas as pd
import pytest

from prunekit.lessons import budgets
from prunekit.lessons.course import answer_of
from prunekit.lessons.glossary import TERMS
from prunekit.lessons.lesson import LESSONS
from prunekit.lessons.presets import PRESETS
from prunekit.ui.learn import controls, glossary, versus
from prunekit.ui.learn import lesson as lesson_page
from prunekit.ui.state import page_settings
from prunekit.ui.state.settings import Settings
from tests.lessons.clock import latency_by_macs

QUICK = [lesson.number for lesson in LESSONS if not lesson.long]
CHANGED = {1: {"below": 20, "layer": "fc2"}, 2: {"cells": (3, 4)}, 3: {"sparsity": 50}, 4: {"criterion": "random", "drop": 10}}
CHANGED |= {5: {"sparsity": 50}, 6: {"sparsity": 30, "epochs": 1}, 7: {"gone": 32}, 8: {"sparsity": 50, "batch": "1"}}
CHANGED |= {9: {"budget": "macs", "share": 40}, 10: {"off": (3, 41), "text": "é: [KING]\n"}, 11: {"least": 60, "repair": "nothing"}}
CHANGED |= {12: {"share": 50, "how": "weights"}}


def said(tab):
    """Everything the page says about a guess."""
    return [plain(part.value) for part in (*tab.app.success, *tab.app.warning, *tab.app.info)]


def point(tab):
    return plain(tab.text)


def plain(text):
    """Text as the core says it."""
    return text.replace("\\", "").replace("\u202f%", " %")


def right_or_not(lesson):
    """A guess as the address holds it."""
    return 50 if lesson.guess.kind == "number" else 1


def make_guess(tab, lesson):
    key = f"guess_{lesson.number}"
    if lesson.guess.kind == "number":
        tab.app.number_input(key=key).set_value(50)
    else:
        tab.app.radio(key=key).set_value(lesson.guess.options[1])
    return tab.click("commit")


@pytest.mark.parametrize("number", QUICK)
def test_the_answer_shows_after_the_guess_and_not_before(tab, number):
    lesson = LESSONS[number - 1]
    one, found = tab("learn", lesson=number), answer_of(number)
    assert lesson.question in one.text
    assert not said(one) and found.sentences[0] not in point(one)
    make_guess(one, lesson)
    assert said(one) == [found.verdict(page_settings.guessed(lesson, right_or_not(lesson))).sentence]
    assert " ".join(found.sentences) in point(one)
    assert one.app.get("plotly_chart")
    here = {} if number == 1 else {"lesson": str(number)}
    assert one.address == here | {"guess": str(right_or_not(lesson)), "shown": "1", "done": str(number)}


@pytest.mark.parametrize("number", [lesson.number for lesson in LESSONS])
def test_nothing_is_measured_before_the_guess(tab, number, monkeypatch):
    asked = []
    monkeypatch.setattr(controls, "answer_of", lambda *what, **more: asked.append(what))
    one = tab("learn", lesson=number)
    assert "commit" in [button.key for button in one.app.button]
    assert not asked


@pytest.mark.parametrize("number", [number for number in QUICK if not LESSONS[number - 1].explores])
def test_a_control_changes_the_answer_and_the_guess_stays_what_it_was(tab, number):
    lesson = LESSONS[number - 1]
    changed = page_settings.write(lesson, CHANGED[number])
    one = tab("learn", lesson=number, knobs="_".join(changed), guess=right_or_not(lesson), shown=1)
    found = answer_of(number, **CHANGED[number])
    assert " ".join(found.sentences) in point(one)
    assert [text for text in said(one) if "was for another setting" in text and found.shown in text]
    assert lesson.asked(**CHANGED[number]) in one.text


def test_a_slider_and_a_tick_go_into_the_address(tab):
    one = tab("learn", lesson=3)
    one.set("turn_3_sparsity", 40)
    assert one.address == {"lesson": "3", "knobs": "40"}
    two = tab("learn", lesson=2, knobs="3.4")
    two.set("turn_2_cells_7", True).set("turn_2_cells_3", False)
    assert two.address["knobs"] == "4.7"
    two.set("turn_2_cells_4", False).set("turn_2_cells_7", False)
    assert two.address["knobs"] == "none"


def test_no_guess_no_answer(tab):
    one = tab("learn", lesson=3).click("commit")
    assert "A guess first" in one.text
    assert "shown" not in one.address


def test_the_way_on_the_way_back_and_what_each_lesson_remembers(tab):
    one = make_guess(tab("learn"), LESSONS[0])
    first = one.address
    one.click("next")
    assert one.address == {"lesson": "2", "done": "1"}
    make_guess(one, LESSONS[1])
    one.click("back")
    assert one.address == first | {"done": "1-2"}
    assert said(one)
    one.click("start_over")
    assert one.address == {}
    one.click("dot_2")
    assert not said(one)


def test_an_address_without_a_guess_shows_the_answer_to_a_teacher(tab):
    assert answer_of(3).shown in said(tab("learn", lesson=3, shown=1))[0]


def test_guessing_again_hides_the_answer(tab):
    one = tab("learn", lesson=3, knobs="40", asked="40", guess=1, shown=1).click("guess_again")
    assert one.address == {"lesson": "3", "knobs": "40"}


def test_a_long_lesson_is_measured_in_the_background(tab):
    one = tab("learn", lesson=6, knobs="30_1")
    make_guess(one, LESSONS[5]).wait(lambda: bool(said(one)), 120)
    values = {"sparsity": 30, "epochs": 1}
    found = controls.available_answer(LESSONS[5], values)
    assert found.settings == answer_of(6, **values).settings
    assert said(one) == [found.verdict(50).sentence]
    other = tab("learn", lesson=6, knobs="30_1", shown=1)
    assert " ".join(found.sentences) in point(other), "whoever asks for the same gets the same measurement"


def test_opening_on_the_real_page_takes_exactly_the_lessons_setting(tab):
    one = tab("learn", lesson=7, shown=1, model="digits_mlp", overrides="0~20", criterion="l2")
    one.app.button(key="open_real").click().run()
    assert not one.app.exception
    assert one.app.title[0].value == "What goes, what stays, what does it cost?"
    assert one.address == {"mode": "structured", "layers": "1", "sparsity": "31.25", "focus": "1", "lesson": "7", "shown": "1"}
    assert "44" in one.text or [metric for metric in one.app.metric if "44" in str(metric.value)]


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)
def test_a_preset_opens_as_it_is_and_leaves_the_other_pages_alone(preset):
    now = Settings(model="digits_mlp", layers=(0,), caps=((1, 0.5),), runs=("0123456789ab",), done=(1, 2))
    found = lesson_page.opened(now, preset.settings)
    assert {name: getattr(found, name) for name in preset.settings} == dict(preset.settings)
    assert (found.runs, found.done) == (now.runs, now.done)
    assert found.caps == () and (found.layers == preset.settings.get("layers"))


def test_a_preset_is_measured_with_its_reason(tab):
    one = tab("learn", part="presets").click("measure_stale")
    one.wait(lambda: "measure_stale" not in [button.key for button in one.app.button] and "test images are read right" in one.text, 90)
    assert "BatchNorm" in one.text and len(one.app.metric) == 3


def test_every_word_is_found_with_its_paper(tab):
    one = tab("learn", part="words")
    assert all(f"**{term.word}**" in one.text for term in TERMS)
    assert [term.word for term in glossary.matching("  MASK ")] == ["mask"]
    assert glossary.matching("nothing like it") == []
    one.set("find_word", "latency")
    assert "**latency**" in one.text and "**mask**" not in one.text


def test_the_sheet_asks_every_question_and_answers_none(tab):
    one = tab("learn", part="sheet")
    page = html.unescape("".join(part.proto.body for part in one.app.get("html")))
    assert all(lesson.question in page for lesson in LESSONS)
    assert all(answer_of(number).sentences[0] not in page for number in QUICK)
    assert glossary.matrix().count("<td>") == 25


def test_large_type_enlarges_the_words_in_pictures(tab):
    def size(one):
        return json.loads(one.app.get("plotly_chart")[0].proto.spec)["layout"]["font"].get("size", 13)

    assert size(tab("learn", lesson=3, shown=1, large=1)) > 16


@pytest.mark.parametrize("number", [lesson.number for lesson in LESSONS])
def test_where_controls_stand_is_written_and_read(number):
    lesson = LESSONS[number - 1]
    assert page_settings.write(lesson, {}) == () and page_settings.read(lesson, ()) == lesson.checked()
    assert page_settings.read(lesson, page_settings.write(lesson, CHANGED[number])) == lesson.checked(**CHANGED[number])


def test_a_time_stands_with_its_share_of_the_original_s_time():
    rows = [{"kind": kind, "budget": "params", "ms": ms, "ms_one": ms and ms / 10, "ratio": ratio, "ratio_one": ratio, "accuracy": 0.9}
            | {"params": 10, "macs": 10, "bytes": 10, "within": True}
            for kind, ms, ratio in (("dense", 2.0, None), ("unstructured", 2.2, 1.1), ("structured", None, None))]  # fmt: skip
    shown = versus.table(pd.DataFrame(rows))
    assert [text.replace("\u202f", " ") for text in shown.ms] == ["2.00", "2.20 (110 %)", ""]
    assert shown.ms_one[1].startswith("0.220")


def test_only_what_is_timed_is_worth_measuring_again(tab):
    assert [lesson.number for lesson in LESSONS if lesson.timed] == [8, 9]
    values = {"sparsity": 30, "epochs": 1}
    one = tab("learn", lesson=6, knobs="30_1", shown=1)
    if controls.available_answer(LESSONS[5], values) is None:
        one.click("measure_lesson").wait(lambda: bool(said(one)), 120)
    assert "measure_again" not in [button.key for button in one.app.button]


def test_both_kinds_are_measured_at_four_budgets_and_four_goals_are_advised(tab, monkeypatch):
    monkeypatch.setattr(budgets, "measure_latency", latency_by_macs)
    one = tab("learn", part="versus", keep=30).click("measure_versus")
    one.wait(lambda: "When to use which?" in [section.value for section in one.app.subheader], 400)
    found = versus.measuring.finished(versus.key_of(30))
    assert [budgeted.budget for budgeted in found] == ["params", "macs", "bytes", "ms"]
    assert [line.goal for _, line in versus.advised(found)] == list(versus.GOAL_BUDGETS)
    rows = 1 + 2 * len([budgeted for budgeted in found if budgeted.frame is not None])
    one.wait(lambda: len(one.app.dataframe[0].value) == rows, 60)
    frame = versus.together(found)
    exact = frame[frame.budget.isin(["params", "macs", "bytes"]) & (frame.kind != "dense")]
    assert exact.within.all(), "what is counted keeps the budget"
