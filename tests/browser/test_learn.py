"""Learn in a browser: all lessons by keyboard alone, large type without sideways scrolling, and what a printer gets."""

import re

import pytest

from prunekit.lessons.lesson import LESSONS
from tests.browser import screens
from tests.browser.tabs import WIDE

pytestmark = [pytest.mark.browser, pytest.mark.slow]


class Keys:
    """Somebody without a mouse."""

    def __init__(self, tab):
        self.tab, self.keyboard = tab, tab.page.keyboard

    def reach(self, where):
        """Go on with Tab until something that fits a CSS selector has the focus."""
        for _ in range(200):
            if self.tab.page.evaluate("where => document.activeElement.matches(where)", where):
                return self
            self.keyboard.press("Tab")
        raise AssertionError(f"Tab never got to {where}")

    def press(self, key):
        self.keyboard.press(key)
        self.tab.idle()


def guess(keys, lesson):
    if lesson.guess.kind == "number":
        keys.reach(f".st-key-guess_{lesson.number} input")
        keys.keyboard.type("50")
        keys.press("Enter")
    else:
        keys.reach(f".st-key-guess_{lesson.number} input")
        keys.keyboard.press("Space")
        keys.reach(".st-key-commit button").press("Enter")


def answered(tab):
    """Wait until the answer shows; what is measured in the background may take a while on a busy machine."""
    tab.page.locator(".st-key-lesson_point").wait_for(timeout=300_000)


def test_all_lessons_are_walked_by_keyboard_alone(tab):
    tab.go("learn")
    keys, faults = Keys(tab), []
    for lesson in LESSONS:
        tab.page.get_by_text(f"{lesson.number}. {lesson.title}", exact=True).first.wait_for()
        tab.page.locator(".st-key-commit button").wait_for()
        tab.idle()
        assert not tab.page.locator(".st-key-lesson_point").count(), "the answer does not show before the guess"
        guess(keys, lesson)
        tab.address("shown=1")
        answered(tab)
        tab.idle()
        assert tab.page.locator('[data-testid="stPlotlyChart"]').count()
        faults += [f"lesson {lesson.number}, {fault}" for fault in screens.faults(tab, (screens.WIDTHS[0],), dark=False)]
        assert re.search(r"[Gg]uess|You said|Right|Close|Exactly", tab.page.locator('[data-testid="stAlert"]').first.inner_text())
        keys.reach(".st-key-next button").press("Enter")
    tab.address("done=1-12", "part=versus")
    tab.says("Structured or unstructured?")
    assert not faults, "\n".join(faults)


def test_a_control_moves_by_arrow_keys_and_its_answer_with_it(tab):
    tab.go("learn?lesson=3&shown=1")
    before = tab.page.locator(".st-key-lesson_point").inner_text()
    Keys(tab).reach('.st-key-turn_3_sparsity [role="slider"], .st-key-turn_3_sparsity input[type="range"]').press("ArrowLeft")
    tab.page.wait_for_url(re.compile("knobs=65"))
    tab.says("1,000 weights less 650 leave 350")
    assert tab.page.locator(".st-key-lesson_point").inner_text() != before


@pytest.mark.parametrize(
    ("number", "title", "parts"),
    [
        (7, "What goes, what stays, what does it cost?", ("/prune", "mode=structured", "sparsity=31.25", "layers=1")),
        (8, "Is it really faster, here?", ("/latency", "mode=structured", "sparsity=70", "batch=64", "runtimes=eager")),
    ],
)
def test_the_same_setting_opens_on_the_real_page_by_keyboard(tab, number, title, parts):
    keys, lesson = Keys(tab), LESSONS[number - 1]
    tab.go(f"learn?lesson={number}")
    tab.page.locator(".st-key-commit button").wait_for()
    tab.idle()
    guess(keys, lesson)
    answered(tab)
    tab.idle()
    keys.reach(".st-key-open_real button").press("Enter")
    tab.page.wait_for_url(re.compile(parts[0]))
    tab.idle()
    assert tab.title() == title
    tab.address(*parts)


def test_large_type_does_not_scroll_sideways(tab):
    tab.go("learn?lesson=5&shown=1")
    size = "parseFloat(getComputedStyle(document.querySelector('.st-key-lesson_question p')).fontSize)"
    small = tab.page.evaluate(size)
    tab.go("learn?lesson=5&shown=1&large=1")
    assert tab.page.evaluate(size) > 1.2 * small
    assert tab.page.evaluate(WIDE) <= 0


def test_paper_gets_the_questions_without_menus_and_buttons(tab):
    tab.go("learn?part=sheet")
    tab.page.emulate_media(media="print")
    assert not tab.page.locator('[data-testid="stSidebar"]').is_visible()
    assert not tab.page.locator(".st-key-learn_top").is_visible()
    assert tab.page.locator(".lesson-sheet").count() == len(LESSONS) + 1
    tall = "document.querySelector('[data-testid=stMain]').scrollHeight - document.querySelector('[data-testid=stMain]').clientHeight"
    assert tab.page.evaluate(tall) <= 1, "nothing is cut off below the first sheet of paper"


def test_nothing_is_fetched_from_elsewhere(tab):
    asked = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.go("learn?lesson=3&shown=1")
    assert asked
    assert [url for url in asked if not url.startswith((tab.base, tab.base.replace("http", "ws"), "data:", "blob:"))] == []
