"""A tab of a browser. It waits for conditions, never for a time to pass."""

import contextlib
import re
import time
import urllib.parse
from pathlib import Path

with contextlib.suppress(ImportError):
    from playwright.sync_api import TimeoutError as PlaywrightTimeout

TIMEOUT = 120_000
LISTEN = Path(__file__).with_name("quiet.js").read_text(encoding="utf-8")
WIDE = "(() => { const main = document.querySelector('[data-testid=stMain]'); return main.scrollWidth - main.clientWidth; })()"


def new_context(browser):
    """Open what one person's browser is: cookies and a cache of its own."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.add_init_script(LISTEN)
    return context


class Tab:
    """One tab on one server."""

    def __init__(self, context, base):
        self.context, self.page = context, context.new_page()
        self.page.set_default_timeout(TIMEOUT)
        self.base, self.errors = base, []
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))

    def go(self, path):
        self.page.goto(self.base + path)
        self.idle()
        return self

    def idle(self, pictures=False):
        """Wait until every rerun that was asked for has been carried out and drawn; if asked for, with its pictures."""
        self.page.wait_for_function("pictures => window.quiet(pictures)", arg=pictures)
        assert not self.page.locator('[data-testid="stException"]').count()
        assert not self.errors, self.errors

    def leave_for(self, page):
        """Go to another page by its link in the sidebar; a click while the page is drawn anew may hit what is being replaced."""
        for _ in range(5):
            self.page.get_by_role("link", name=page, exact=True).click()
            try:
                self.page.wait_for_url(re.compile(f"/{page.lower()}"), timeout=TIMEOUT / 8)
                break
            except PlaywrightTimeout:
                continue
        self.page.wait_for_url(re.compile(f"/{page.lower()}"))
        self.idle()

    def still(self, locator):
        """Return where something is once it has stopped moving: pictures above it take their height when they are drawn."""
        self.idle(pictures=True)
        box, since = None, 0
        while since < 4:
            locator.scroll_into_view_if_needed()
            now = locator.bounding_box()
            box, since = now, since + 1 if now == box else 0
            self.page.wait_for_timeout(100)
        return box

    def until(self, holds, missing):
        """Wait until a condition holds: an act goes to the server and comes back in its own time, and until then nothing is running."""
        self._wait(holds, missing)
        self.idle()

    def _wait(self, holds, missing):
        start = time.monotonic()
        while not holds():
            assert time.monotonic() - start < TIMEOUT / 1000, f"waited too long for {missing} at {self.url}"
            self.page.wait_for_timeout(50)

    def address(self, *parts, without=()):
        """Wait until the address has some parts and none of others."""
        self.until(
            lambda: all(part in self.url for part in parts) and not any(part in self.url for part in without),
            f"an address with {parts} and without {without}",
        )

    def says(self, text, where="stMain"):
        """Wait until a part of the page says something."""
        self.until(lambda: text in self.page.get_by_test_id(where).inner_text(), f"“{text}”")

    def shows(self, label, value):
        """Wait until a big number begins in some way."""
        self.until(lambda: self.metric(label).startswith(value), f"{label} {value}")

    def type_into(self, where, text):
        """Type a number into a cell of a table that is edited; a table that is drawn anew shuts the cell that is open."""
        cell = self.page.locator("#portal .gdg-input")
        for _ in range(3):
            self.page.mouse.dblclick(*where())
            with contextlib.suppress(PlaywrightTimeout):
                cell.wait_for(timeout=5000)
                cell.fill(text, timeout=5000)
                self.page.wait_for_timeout(300)
                if cell.count() and cell.input_value(timeout=5000) == text:
                    break
            self.page.keyboard.press("Escape")
            self.idle(pictures=True)
        self.page.keyboard.press("Enter")

    @property
    def url(self):
        return urllib.parse.unquote(self.page.url)

    def title(self):
        return self.page.locator("h1").first.inner_text()

    def metric(self, label):
        """Return a big number without its tag; for a moment it may stand twice, or not at all."""
        box = self.page.locator('[data-testid="stMetric"]').filter(has_text=label)
        value = box.locator('[data-testid="stMetricValue"]')
        self._wait(lambda: value.count() == 1, f"one “{label}”")
        return re.sub(r"\s*(measured|estimated|counted)$", "", value.inner_text())
