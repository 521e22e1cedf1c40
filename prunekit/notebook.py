"""How results look in a notebook: cards, tables, bars and curves as HTML that takes the notebook's own colours, light or dark."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from prunekit.colours import GROUND, KEPT, REMOVED, RULE

_STYLE = Markup(
    "<style>.prunekit{{max-width:58rem;margin:.3em 0;font-size:.92em;line-height:1.4;overflow-x:auto}}"
    ".prunekit b.t{{display:block;font-size:1.08em;font-weight:600;margin-bottom:.35em}}"
    ".prunekit table{{border-collapse:collapse;margin:.4em 0;width:auto;font-variant-numeric:tabular-nums}}"
    ".prunekit th,.prunekit td{{padding:.2em .9em .2em 0!important;text-align:right;border:0;border-bottom:{line};"
    "background:none!important;vertical-align:middle;white-space:nowrap}}"
    ".prunekit th{{font-weight:600;opacity:.75}}"
    ".prunekit td:first-child,.prunekit th:first-child{{text-align:left}}"
    ".prunekit tr{{background:none!important}}"
    ".prunekit .b{{display:inline-block;vertical-align:middle;width:7em;height:.6em;border-radius:.3em;margin-right:.6em;"
    "background:{ground}}}"
    ".prunekit .n{{display:inline-block;min-width:3.6em}}.prunekit table.l td{{text-align:left}}"
    ".prunekit p{{margin:.35em 0}}.prunekit .m{{opacity:.7}}.prunekit summary{{cursor:pointer;opacity:.8}}</style>"
).format(line=Markup(f"1px solid {RULE}"), ground=Markup(GROUND))
FOLDED = 12
"""Rows of a table from which on it is folded."""


def card(title: str, *parts: str) -> str:
    """Return a title and what stands below it; what is no markup is escaped and stands in paragraphs."""
    body = Markup("").join(part if isinstance(part, Markup) else Markup("<p>{}</p>").format(part) for part in parts if part)
    return str(Markup('{}<div class="prunekit"><b class="t">{}</b>{}</div>').format(_STYLE, title, body))


def table(header: Sequence[str], rows: Iterable[Sequence[object]], what: str = "rows") -> Markup:
    """Return a table, folded where it is long; None is a dash."""
    lines = [Markup("<tr>{}</tr>").format(Markup("").join(_cell("td", each) for each in row)) for row in rows]
    head = Markup("<tr>{}</tr>").format(Markup("").join(_cell("th", each) for each in header)) if any(header) else Markup("")
    kind = "" if head else "l"
    found = Markup('<table class="{}"><thead>{}</thead><tbody>{}</tbody></table>').format(kind, head, Markup("").join(lines))
    if len(lines) <= FOLDED:
        return found
    return Markup("<details><summary>{} {}</summary>{}</details>").format(len(lines), what, found)


def _cell(tag: str, value: object) -> Markup:
    """Return one cell."""
    return Markup("<{0}>{1}</{0}>").format(Markup(tag), "–" if value is None else value)


def notes(sentences: Iterable[str]) -> Markup:
    """Return what else a person should know."""
    return Markup("").join(Markup('<p class="m">{}</p>').format(each) for each in sentences)


def bar(share: float, text: str, colour: str = REMOVED) -> Markup:
    """Return a share as a bar with its text beside it."""
    width = f"{100 * min(max(share, 0.0), 1.0):.1f}"
    fill = f"display:block;width:{width}%;height:100%;border-radius:.3em;background:{colour}"
    return Markup('<span class="b"><span style="{}"></span></span><span class="n">{}</span>').format(fill, text)


def shaded(text: str, share: float) -> Markup:
    """Return a text on a ground that is the stronger the larger a share is: 0 is none."""
    ground = f"{REMOVED}{round(153 * min(max(share, 0.0), 1.0)):02x}"
    return Markup('<span style="padding:.1em .4em;border-radius:.25em;background:{}">{}</span>').format(ground, text)


def curve(points: Sequence[tuple[float, float, float, float]], x: tuple[str, str], y: tuple[str, str], title: str) -> Markup:
    """Return a line with its interval."""
    wide, high, left, low = 420, 150, 64, 24
    xs = [point[0] for point in points]
    ys = [value for point in points for value in point[1:] if not math.isnan(value)]
    (x0, x1), (y0, y1) = ((min(each), max(each)) if max(each) > min(each) else (min(each) - 0.5, max(each) + 0.5) for each in (xs, ys))

    def at(place: float, value: float) -> str:
        return f"{left + (wide - left - 8) * (place - x0) / (x1 - x0):.1f},{8 + (high - low - 8) * (y1 - value) / (y1 - y0):.1f}"

    line = " ".join(at(point[0], point[1]) for point in points)
    sure = [point for point in points if not math.isnan(point[2] + point[3])]
    band = " ".join(itertools.chain((at(p[0], p[3]) for p in sure), (at(p[0], p[2]) for p in reversed(sure))))
    dots = Markup("").join(
        Markup('<circle cx="{}" cy="{}" r="3" fill="{}"/>').format(*at(point[0], point[1]).split(","), KEPT) for point in points
    )
    floor = high - low
    words = [
        (left - 8, 14, "end", y[1]),
        (left - 8, floor, "end", y[0]),
        (left, high - 6, "start", x[0]),
        (wide - 8, high - 6, "end", x[1]),
    ]
    texts = Markup("").join(
        Markup('<text x="{}" y="{}" text-anchor="{}" fill="currentColor" font-size="11">{}</text>').format(*word) for word in words
    )
    return Markup(
        '<svg role="img" aria-label="{title}" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" style="display:block">'
        '<path d="M{left},8V{floor}H{right}" fill="none" stroke="currentColor" stroke-opacity=".35"/>'
        '<polygon points="{band}" fill="{colour}" fill-opacity=".18"/>'
        '<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}{texts}</svg>'
    ).format(
        title=title, wide=wide, high=high, left=left, floor=floor, right=wide - 8, band=band, line=line, colour=KEPT, dots=dots, texts=texts
    )
