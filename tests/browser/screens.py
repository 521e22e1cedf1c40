"""What a page looks like and sounds like: boxes measured at several widths, and axe-core's rules, in both colour schemes."""

import os
from pathlib import Path

BOXES = Path(__file__).with_name("boxes.js").read_text(encoding="utf-8")
DESK = 1280
WIDTHS = (390, 800, DESK)
ALL_WIDTHS = (390, 800, DESK, 1440, 1920)
HEIGHT = 900
EVERYTHING = bool(os.environ.get("PRUNEKIT_SCREENS"))
STREAMLITS = {
    "list": "[data-testid=stSidebarNav]",  # the titles of its sections stand between the items of one list
    "listitem": "[data-testid=stSidebarNav]",
}
"""Where Streamlit's own markup breaks a rule, and no theme or style of ours can mend it: rule to selector."""
RULES = """allowed => axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations
  .filter(({ impact }) => ["serious", "critical"].includes(impact))
  .flatMap(({ id, help, nodes }) => nodes
    .filter(({ target }) => !(allowed[id] && document.querySelector(target[0])?.closest(allowed[id])))
    .map(({ html, failureSummary }) => `${id}: ${help}: ${html.slice(0, 160)} ${(failureSummary || "").slice(-160)}`)))"""


def axe():
    """Return axe-core as its package brings it."""
    import axe_playwright_python

    return Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")


def boxes(page):
    """Return what a person would trip over at the width as it is."""
    page.evaluate(BOXES)
    for _ in range(10):  # a picture is laid out anew some time after its page became narrower
        found = page.evaluate("wide => boxFaults({ wide })", DESK)
        if not found:
            break
        page.wait_for_timeout(700)
    return list(found)


def rules(page):
    """Return where the page breaks a rule that matters to somebody who does not see it, or not well."""
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(axe())
    return page.evaluate(RULES, STREAMLITS)


def faults(tab, widths=WIDTHS, *, dark=True):
    """Return all faults of the page that a tab shows, each with its width; afterwards the page is as wide and as light as it was."""
    found, page = [], tab.page
    for scheme in ("light", "dark")[: 1 + dark]:
        page.emulate_media(color_scheme=scheme)
        if scheme == "dark":  # charts are drawn for a page as it was when it was opened
            page.reload()
        for width in ALL_WIDTHS if EVERYTHING else widths if scheme == "light" else widths[:1]:
            page.set_viewport_size({"width": width, "height": HEIGHT})
            tab.idle(pictures=True)
            found += [f"{scheme} {width}: {fault}" for fault in boxes(page)]
        found += [f"{scheme}: {fault}" for fault in rules(page)]
    page.emulate_media(color_scheme="light")
    if dark:
        page.reload()
    page.set_viewport_size({"width": DESK, "height": HEIGHT})
    tab.idle()
    return found
