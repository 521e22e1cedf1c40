"""Nothing stands twice on the screen, not even for a moment, while a measurement comes and goes."""

import re

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

WATCH = """() => {
  window.seen = {};
  window.count = () => {
    const places = {};
    for (const e of document.querySelectorAll(
        '[data-testid=stMain] h3, [data-testid=stMain] [data-testid=stWidgetLabel] p, [data-testid=stMain] button p')) {
      const text = e.textContent.trim(), at = e.closest('[data-testid=stElementContainer]');
      if (text && at) (places[text] = places[text] || new Set()).add(at);
    }
    const counts = {};
    for (const text in places) counts[text] = places[text].size;
    return counts;
  };
  window.first = window.count();
  new MutationObserver(() => {
    const counts = window.count();
    for (const text in counts) window.seen[text] = Math.max(window.seen[text] || 0, counts[text]);
  }).observe(document.body, {childList: true, subtree: true, characterData: true});
}"""
DOUBLED = """() => {
  const last = window.count(), doubled = [];
  for (const text in window.seen)
    if (text !== "Cancel" && window.seen[text] > Math.max(1, window.first[text] || 0, last[text] || 0)) doubled.push(text);
  return [doubled, Object.keys(window.seen).length];
}"""


@pytest.mark.parametrize(
    ("address", "button", "after"),
    [
        ("prune?sparsity=91", "Measure accuracy", "Accuracy measured"),
        ("prune?mode=structured&sparsity=50", "Measure accuracy", "Accuracy measured"),
        ("prune?sparsity=60", "Save as run", "Saved as a run"),
        ("accuracy?model=digits_mlp", "Measure", "Measured"),
        ("sensitivity?model=digits_mlp", "Measure", "Measured"),
        ("learn?part=presets", "Measure all", ""),
    ],
)
def test_what_follows_a_measurement_stays_where_it_is(visitor, address, button, after):
    tab = visitor[0].go(address)
    tab.page.evaluate(WATCH)
    tab.page.get_by_role("button", name=button, exact=True).press("Enter")
    cancel = tab.page.get_by_role("button", name="Cancel", exact=True).first
    if after:
        tab.page.get_by_role("button", name=after, exact=True).wait_for(timeout=180_000)
    else:
        cancel.wait_for()
    cancel.wait_for(state="detached", timeout=180_000)
    tab.idle(pictures=True)
    doubled, watched = tab.page.evaluate(DOUBLED)
    assert watched > 3, "the page was not drawn anew: nothing was watched"
    assert not doubled
    assert tab.page.evaluate("document.activeElement !== document.body"), "the focus stays where the key was pressed"


def test_a_click_before_everything_is_loaded_changes_nothing_else(visitor):
    """A slow line: the sliders' code arrives when the page has been drawn anew, without the values that the first run sent."""
    tab, held = visitor[0], []

    def hold(route):
        held.append(route)

    tab.page.route(re.compile(r"/(Slider|NumberInput|Selectbox)\.[^/]*\.js"), hold)
    tab.go("prune?mode=structured&sparsity=60&criterion=l2&scope=local&cap_all=80&seed=7")
    tab.page.get_by_text("By layer", exact=True).click()
    tab.idle()
    assert held, "the code of sliders was to be held back"
    for route in held:
        route.continue_()
    tab.page.get_by_role("slider").first.wait_for()
    tab.page.get_by_text("By group", exact=True).click()
    tab.idle()
    tab.page.get_by_text("By layer", exact=True).click()
    tab.idle()
    tab.address("sparsity=60", "criterion=l2", "cap_all=80", "mode=structured")
    tab.shows("Channels removed", "60")
