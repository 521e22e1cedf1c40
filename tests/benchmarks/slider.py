"""Script time of 20 slider moves on the Prune page with torchvision/resnet18; p95 should be at most 300 ms.

Measures the wall time of one whole run of the dashboard's script for each move: router, sidebar, Prune page with all its charts and tables,
serialised for the browser, plus AppTest's own parsing of the page. Drawing in the browser and the network are not in it.

    python tests/benchmarks/slider.py [--mode structured] [--model torchvision/resnet18]
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from streamlit.testing.v1 import AppTest

from prunekit.ui import MAIN
from prunekit.ui.routes import PAGES

MOVES = 20


def moves(model: str, mode: str) -> list[float]:
    """Return the seconds of each move, after one that fills the caches."""
    app = AppTest.from_file(str(MAIN), default_timeout=120)
    app.query_params["model"] = model
    if mode != "unstructured":
        app.query_params["mode"] = mode
    app.run()
    app.switch_page(str(PAGES / "prune.py")).run()
    places = np.random.default_rng(0).permutation(np.arange(5, 96, 4))[: MOVES + 1]
    seconds = []
    for place in places:
        slider = app.slider(key="pick_sparsity").set_value(float(place))
        start = time.perf_counter()
        slider.run()
        seconds.append(time.perf_counter() - start)
        assert not app.exception, app.exception
    return seconds[1:]


def main() -> None:
    """Print the times of both modes, or of one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="torchvision/resnet18")
    parser.add_argument("--mode", choices=["unstructured", "structured"])
    args = parser.parse_args()
    for mode in [args.mode] if args.mode else ["unstructured", "structured"]:
        ms = 1000 * np.array(moves(args.model, mode))
        print(
            f"{args.model}, {mode}: median {np.median(ms):.0f} ms, p95 {np.quantile(ms, 0.95):.0f} ms, worst "
            f"{ms.max():.0f} ms over {len(ms)} moves"
        )


if __name__ == "__main__":
    main()
