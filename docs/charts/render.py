"""Plotly figures as SVG files, drawn by the plotly.js that comes with plotly, in Chromium."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from urllib.parse import unquote

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from prunekit.errors import PrunekitError

DRAW = """async ([text, width, height]) => {
    const figure = JSON.parse(text), place = document.createElement("div");
    document.body.append(place);
    await Plotly.newPlot(place, figure.data, figure.layout, {staticPlot: true});
    const url = await Plotly.toImage(place, {format: "svg", width, height});
    Plotly.purge(place); place.remove();
    return url;
}"""


def browser() -> str:
    """Return where Chromium is.

    Raises
    ------
    PrunekitError
        If Chromium or playwright is missing.
    """
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if find_spec("playwright") is None:
        raise PrunekitError("drawing needs playwright: pip install -e '.[test]'")
    if found is None:
        raise PrunekitError("drawing needs Chromium: apt-get install chromium")
    return found


def svgs(figures: Mapping[str, go.Figure]) -> Iterator[tuple[str, str]]:
    """Yield the name and the SVG text of each figure.

    Parameters
    ----------
    figures : mapping of str to Figure
        Each with its width and height.

    Raises
    ------
    PrunekitError
        As :func:`browser`.
    """
    path = browser()
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 (needed to draw, not to count)

    with sync_playwright() as p:
        chromium = p.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page()
        page.add_script_tag(content=get_plotlyjs())
        for name, figure in figures.items():
            url = page.evaluate(DRAW, [figure.to_json(), figure.layout.width, figure.layout.height])
            yield name, _settled(unquote(url.partition(",")[2]), name)
        chromium.close()


def _settled(svg: str, name: str) -> str:
    """Replace the random ids by the figure's name, so that the same picture is the same file."""
    found = re.search(r'id="defs-([0-9a-f]+)"', svg)
    return (svg if found is None else svg.replace(found[1], name)).replace("\xa0", "&#160;") + "\n"
