"""A comparison as one HTML file that opens without a network: the answer, the numbers, the pictures, the settings."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from html import escape
from string import Template

from plotly.offline import get_plotlyjs

from prunekit.comparison.columns import Column
from prunekit.comparison.comparison import Comparison
from prunekit.comparison.tradeoff import metric_frame
from prunekit.formatting import ratio_span, size, times
from prunekit.plots import theme
from prunekit.plots.compare_layers import letter_colour
from prunekit.reports.pictures import Picture
from prunekit.reports.table import called, table_html
from prunekit.tasks.classification import ACCURACY

# nothing may be fetched, whatever a picture or a title holds
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"


def as_csv(comparison: Comparison) -> str:
    """Return the numbers as CSV: a row for each run, the dense model first; what was never measured is empty."""
    return str(metric_frame(comparison).to_csv(index=False))


def as_json(comparison: Comparison) -> str:
    """Return the whole comparison as JSON."""
    return json.dumps(comparison.to_dict(), indent=2, ensure_ascii=False) + "\n"


def html(comparison: Comparison, pictures: Sequence[Picture] = (), *, relative: bool = False, address: str = "") -> str:
    """Return the report.

    Parameters
    ----------
    comparison : Comparison
        What was compared; foreign text in it is escaped.
    pictures : sequence of Picture
        Charts in the order in which they stand in the report.
    relative : bool
        Whether numbers stand as shares of the dense model's.
    address : str
        Where the same comparison shows in the dashboard; written as text.

    Returns
    -------
    str
        One file: plotly stands in it once, and nothing is fetched.
    """
    title = title_of(comparison)
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="answer">{escape(comparison.answer)}</p>' if comparison.answer else "",
        f'<p class="caution">{escape(comparison.caution)}.</p>' if comparison.caution else "",
        *(f'<p class="caution">{escape(doubt)}.</p>' for doubt in comparison.doubts),
        _tiles(comparison),
        '<h2>Numbers</h2><p class="save">' + _download(comparison) + "</p>" + table_html(comparison, relative=relative),
        *(f"<p>{escape(sentence)}</p>" for sentence in comparison.within_runtimes),
        *map(_picture, pictures),
        _made(comparison, address),
    ]
    script = f"<script>{get_plotlyjs()}</script><script>{_script(pictures)}</script>" if pictures else ""
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    head += f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body><main>{"".join(parts)}</main>{script}</body></html>\n'


def title_of(comparison: Comparison) -> str:
    """Return what a comparison is called."""
    name = str(comparison.baseline.run.model.get("name", "")).rpartition("/")[2]
    letters = [column.letter for column in comparison.columns]
    return f"{name}: {' and '.join(letters) if len(letters) < 3 else f'{letters[0]} to {letters[-1]}'}"


def big_three(column: Column, baseline: Column) -> tuple[tuple[str, str, str], ...]:
    """Return the three big numbers of a run: label, value, and what stands below; a dash until it was measured.

    Parameters
    ----------
    column, baseline : Column
        The run, and the dense model.
    """
    kept, before, faster = column.accuracy, baseline.accuracy, column.speed
    small, dense = column.shipped, baseline.shipped
    ratio = times(dense.bytes / small.bytes) if small and dense and small.bytes else ""
    return (
        (
            f"{kept.metric.title if kept else ACCURACY.title} kept", kept.text() if kept else "–",
            f"dense {before.text()}" if kept and before else "not measured",
        ),
        ("Size to ship", size(small.bytes) if small else "–", f"{ratio} smaller than dense" if ratio else "not measured"),
        (
            "Speed", times(1 / faster.ratio) if faster else "–",
            f"{ratio_span(1 / faster.high, 1 / faster.low)}, {faster.where()}" if faster else "not measured",
        ),
    )  # fmt: skip


def _tiles(comparison: Comparison) -> str:
    """Return three big numbers of the run that the answer names."""
    if not comparison.best:
        return ""
    column = comparison.column(comparison.best)
    head = f'<p class="who" style="color:{letter_colour(column.letter)}"><b>{column.letter}</b> {escape(called(column))}</p>'
    tiles = [[escape(text) for text in tile] for tile in big_three(column, comparison.baseline)]
    shown = "".join(f"<div><span>{label}</span><b>{value}</b><span>{below}</span></div>" for label, value, below in tiles)
    return f'{head}<div class="tiles">{shown}</div>'


def _download(comparison: Comparison) -> str:
    """Return links that save the numbers."""
    links = []
    for name, mime, text in (("CSV", "text/csv", as_csv(comparison)), ("JSON", "application/json", as_json(comparison))):
        data = base64.b64encode(text.encode()).decode()
        links.append(f'<a class="button" download="comparison.{name.lower()}" href="data:{mime};base64,{data}">{name}</a>')
    return "".join(links)


def _picture(picture: Picture) -> str:
    """Return one chart with its caption and its buttons; it is drawn by the script below."""
    name = escape(picture.name, quote=True)
    buttons = "".join(f'<button data-plot="{name}" data-form="{form}">{form.upper()}</button>' for form in ("png", "svg"))
    height = picture.figure.layout.height or 400
    return (
        f'<section><h2>{escape(picture.title)}</h2><div class="save">{buttons}</div>'
        f'<div id="{name}" style="height:{height}px"></div><p class="caption">{markdown(picture.caption)}</p></section>'
    )


def markdown(text: str) -> str:
    """Return a caption as HTML: escaped, with ``**bold**`` as bold."""
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))


def _script(pictures: Sequence[Picture]) -> str:
    """Return what draws the charts and saves them."""
    specs = ",".join(f"[{json.dumps(p.name)},{p.figure.to_json()}]" for p in pictures)
    # a closing tag within a text would end the script
    return f"const specs=[{specs}];".replace("</", "<\\/") + DRAW


def _made(comparison: Comparison, address: str) -> str:
    """Say what was measured on what, and where it is to be found."""
    measured = f"{comparison.quality.title} on {comparison.images:,} {comparison.split} {comparison.units}"
    on = f"{measured} of {comparison.data}, the same for all, with 95 % intervals. "
    rest = (
        "Differences are paired. Counts are counted, sizes and times measured, or marked as estimated; what was never measured is a dash."
    )
    where = f" The same view: {address}." if address else ""
    return f"<footer>{escape((on if comparison.data else '') + rest + where)} Made by prunekit.</footer>"


DRAW = """
for (const [name, spec] of specs) Plotly.newPlot(name, spec.data, spec.layout, {responsive: true, displayModeBar: false});
for (const button of document.querySelectorAll("button[data-plot]")) button.onclick = () => {
  const form = button.dataset.form, box = document.getElementById(button.dataset.plot);
  Plotly.downloadImage(box, {format: form, filename: button.dataset.plot, scale: form === "png" ? 2 : 1,
    width: box.clientWidth, height: box.clientHeight});
};
"""
STYLE = Template("""
:root {color-scheme: light}
body {margin: 0; font: 15px/1.5 $font; color: $ink; background: #fff}
main {max-width: 1120px; margin: 0 auto; padding: 2rem 1.5rem 4rem}
h1 {font-size: 1.9rem; margin: .2rem 0 1rem}
h2 {font-size: 1.25rem; margin: 2.6rem 0 .4rem}
section {break-inside: avoid}
.answer {font-size: 1.2rem; border-left: 4px solid $kept; padding: .3rem 0 .3rem 1rem; margin: 0 0 1rem}
.caution {border-left: 4px solid #e69f00; padding: .2rem 0 .2rem 1rem}
.caption, footer, .tiles span {color: $muted}
.who {margin: 1.2rem 0 .4rem}
.tiles {display: grid; grid-template-columns: repeat(3, 1fr); gap: 1rem}
.tiles div {border: 1px solid $line; border-radius: 8px; padding: .7rem 1rem}
.tiles b {font-size: 1.8rem; font-weight: 600}
.tiles span {display: block}
.save {text-align: right; margin: -2rem 0 .6rem}
button, .button {font: inherit; font-size: .82rem; color: $muted; background: #fff; border: 1px solid $line; border-radius: 6px;
  padding: .1rem .6rem; margin-left: .35rem; cursor: pointer; text-decoration: none}
footer {margin-top: 3rem; font-size: .85rem}
@media print {.save {display: none}}
""").substitute(font=theme.FONT, ink=theme.ink(False), muted=theme.muted(False), line=theme.grid(False), kept=theme.KEPT)
