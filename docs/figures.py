"""Draw the figures of docs/methods.md and fill in the numbers that it quotes.

    python docs/figures.py               all of them
    python docs/figures.py scopes caps   these alone
    python docs/figures.py --list        their names, and the sample models behind them
    python docs/figures.py --settings    the tables of settings alone

Everything is computed from the sample models, and nothing is written in by hand. MNIST is read from PRUNEKIT_DATA, or downloaded there at
first use; the other figures need no download. Drawing needs the test extra and Chromium.
"""

from __future__ import annotations

import argparse
import sys

import torch
from charts import channels, criteria, modes, schedules, scopes, settings
from charts.base import Chart, Drawn, weights_of
from charts.page import IMAGES, PAGE, entry, filled, read_numbers, texts, write_numbers
from charts.render import browser, svgs

from prunekit.errors import DataError, PrunekitError

MODULES = (modes, criteria, scopes, channels, schedules)
CHARTS: dict[str, Chart] = {chart.name: chart for module in MODULES for chart in module.CHARTS}


def compute(chart: Chart) -> Drawn | None:
    """Compute a chart, or say what data it waits for."""
    print(f"{chart.name}: from {', '.join(chart.models)}", flush=True)
    try:
        return chart.draw()
    except DataError as error:
        print(f"  left as it is: {error}", file=sys.stderr)
        return None


def main(words: list[str] | None = None) -> int:
    """Draw what the command line names; return 1 if something was left as it is."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], epilog="MNIST is read from PRUNEKIT_DATA.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures; all of them when left out")
    parser.add_argument("--list", action="store_true", help="name the figures and stop")
    parser.add_argument("--settings", action="store_true", help="write the tables of settings, which nothing is drawn for, and stop")
    args = parser.parse_args(words)
    if args.settings:
        PAGE.write_text(settings.filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return 0
    if args.list:
        print("\n".join(f"{chart.name:28}{', '.join(chart.models)}" for chart in CHARTS.values()))
        return 0
    unknown = [name for name in args.names if name not in CHARTS]
    if unknown:
        parser.error(f"there is no figure {', '.join(unknown)}; there are {', '.join(CHARTS)}")
    browser()  # before the long work
    torch.set_num_threads(1)  # these networks are small: threads would wait for each other longer than they work
    chosen = [CHARTS[name] for name in args.names or CHARTS]
    drawn = {chart: found for chart in chosen if (found := compute(chart)) is not None}
    write(drawn)
    return int(len(drawn) < len(chosen))


def write(drawn: dict[Chart, Drawn]) -> None:
    """Write pictures and numbers, and fill in the page; numbers of charts that are gone go too."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, svg in svgs({chart.name: found.figure for chart, found in drawn.items()}):
        (IMAGES / f"{name}.svg").write_text(svg, encoding="utf-8")
    numbers = {name: known for name, known in read_numbers().items() if name in CHARTS}
    numbers |= {chart.name: entry({name: weights_of(name) for name in chart.models}, found.quotes) for chart, found in drawn.items()}
    write_numbers(numbers)
    if PAGE.exists():
        PAGE.write_text(settings.filled(filled(PAGE.read_text(encoding="utf-8"), texts(numbers))), encoding="utf-8")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PrunekitError as error:
        sys.exit(f"docs/figures.py: {error}")
