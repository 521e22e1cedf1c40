"""Text in a browser: a prompt on the Prune page that a link shares, and a lesson whose heads are clicked away."""

import re
import urllib.parse

import pytest
from playwright.sync_api import expect

from tests.browser.tabs import WIDE, Tab

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_prompt_is_typed_answered_by_both_models_and_shared_by_its_address(tab, stranger, server):
    tab.go("prune?model=shakespeare_gpt&mode=structured&sparsity=60&limit=16")
    tab.says("Dense says")
    field = tab.page.locator(".st-key-pick_prompt textarea")
    field.fill("ROMEO:\nO, she doth teach the torches to burn brigh")
    field.press("Control+Enter")
    tab.says("Dense says “t”")
    tab.address("prompt=ROMEO:\nO,".replace(" ", "+"))
    other = Tab(stranger, server.base)
    other.page.goto(tab.page.url)
    other.says("Dense says “t”")
    expect(other.page.locator(".st-key-pick_prompt textarea")).to_have_value(re.compile("torches"))
    assert other.page.evaluate(WIDE) <= 0
    other.page.close()
    tab.go(f"prune?model=shakespeare_gpt&limit=16&prompt={urllib.parse.quote('[A]')}")
    tab.says("the alphabet of 65 characters does not hold")
    tab.says("Which weights stay, which go?")  # the rest of the page is drawn


def test_heads_are_clicked_away_and_text_perplexity_and_address_follow(tab):
    tab.go("learn?lesson=10")
    tab.page.locator(".st-key-guess_10 label").nth(2).click()
    tab.page.locator(".st-key-commit button").click()
    tab.page.locator(".st-key-lesson_point").wait_for()
    tab.says("Without layer 1 it is")
    tab.page.locator(".st-key-turn_10_off_1 button").nth(3).click()
    tab.says("With 1 head off it is")
    tab.page.wait_for_url(re.compile(r"knobs=11_"))
    tab.page.locator(".st-key-turn_10_off_0 button").last.click()
    tab.says("With 1 head and 1 layer off it is")
    field = tab.page.locator(".st-key-turn_10_text textarea")
    field.fill("JULIET")
    field.press("Control+Enter")
    tab.page.wait_for_url(re.compile(b"JULIET".hex()))
    assert tab.page.locator('[data-testid="stAlert"]').first.inner_text().count("layer 1")
    assert tab.page.evaluate(WIDE) <= 0
