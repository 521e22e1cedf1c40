"""The four sizes of a setting on disk: exact where they are known, otherwise estimated from counts."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

from prunekit.evaluation.sizes import Sizes, gzip_note
from prunekit.experiments.jobs import board
from prunekit.formatting import by_times, size
from prunekit.models.layers import table_modules
from prunekit.plots.layer_bars import sizes as size_bars
from prunekit.plots.layer_bars import table_words
from prunekit.ui.components import show
from prunekit.ui.prune.costs import Measured, begin, sizes_key
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state.settings import Settings


def sizes(now: Settings, loaded: Loaded, view: View, found: Measured | None) -> None:
    """Show the four sizes, exact where they are known, otherwise estimated from counts."""
    show.section("How big is it on disk?")
    frame = _exact_rows(view, found) if found is not None else _estimated_rows(loaded, view)
    show.chart(size_bars(frame, dark=show.dark()), "sizes", "", alt="Size of the file in each form")
    estimated = found is None or any(map(_estimated, found.sizes))
    gzipped = GZIPPED if GZIP in set(frame["label"]) else ""
    tag = show.tag("estimated" if found is None else "counted")
    st.caption(f"{_size_caption(view, frame)} {gzipped}{_gzip_words(found)}{table_words(frame)}{tag}")
    if found is not None and estimated:
        key = sizes_key(loaded, view, exact=True)
        job = board().get(key)
        if job is None or not job.active:
            st.button(
                "Exact sizes", key="exact_sizes", icon=":material/compress:", on_click=begin, args=(now, loaded, view, None, True),
                help="Compresses both files whole, instead of a sample of their blocks: about a second for half a gigabyte.",
            )  # fmt: skip
        measuring.panel(key)


def _estimated(sizes: Sizes) -> bool:
    """Return whether a gzipped size is an estimate."""
    return sizes.gzip_how == "estimated"


def _gzip_words(found: Measured | None) -> str:
    """Say of estimated gzipped sizes how well they are known; nothing of measured ones."""
    if found is None or not any(map(_estimated, found.sizes)):
        return ""
    told = [(s.gzip_low, s.gzip_high) for s in found.sizes if s.gzip_low is not None and s.gzip_high is not None]
    said = " and ".join(f"{size(low)} to {size(high)}" for low, high in told)
    return f"Gzipped sizes are told from a sample of blocks, 95\u202f% interval {said} {show.tag('estimated')}. The others: "


def _row(label: str, number: float, dense: float, is_dense: bool = False, tables: float | None = None) -> tuple[Any, ...]:
    """Return one bar with its label."""
    ratio = "" if is_dense or not number else f"  ({by_times(dense, number, 'smaller', 'as large', 'same')})"
    return label, number, size(number) + ratio, is_dense, float("nan") if tables is None else tables


GZIP = "with zeros, gzipped"
GZIPPED = "Gzipped is compared with gzipped. "
COLUMNS = ["label", "bytes", "text", "dense", "tables"]


def _exact_rows(view: View, found: Measured) -> pd.DataFrame:
    """Return the four sizes of a finished measurement."""
    before, after = found.sizes
    apart = [side.tables or {} for side in (before, after)]
    rows = [_row("dense file", before.dense, before.dense, True, apart[0].get("dense"))]
    if before.gzip is not None and after.gzip is not None:
        for name, side, is_dense in (("dense, gzipped", before, True), (GZIP, after, False)):
            label, number, text, *rest = _row(name, side.gzip or 0, before.dense if is_dense else before.gzip, is_dense)
            note = gzip_note(side.to_dict())
            rows.append((label, number, f"{text}, {note}" if note else text, *rest))
    rows.append(_row(f"best sparse format ({after.sparse_format})", after.sparse, before.dense, tables=apart[1].get("sparse")))
    rows.append(_row("after surgery", after.surgery, before.dense, tables=apart[1].get("surgery")))
    return pd.DataFrame(rows, columns=COLUMNS)


def _estimated_rows(loaded: Loaded, view: View) -> pd.DataFrame:
    """Return sizes from counts: exact but for headers and for formats that depend on where the zeros are."""
    file = model_cache.file_of(loaded.source)
    dense, frame = file.dense, view.frame
    weights = [math.prod(shape) for shape in frame["before"]]
    left = [w - g for w, g in zip(weights, frame["params_gone"], strict=True)]
    saved = [4 * w - min(4 * w, w / 8 + 4 * n) for w, n in zip(weights, left, strict=True)]
    after = dense - 4 * (view.params[0] - view.params[1]) if view.what == "channels" else dense
    full = slim = thin = (file.tables or {}).get("dense")
    if full is not None:
        held = frame["name"].isin(table_modules(loaded.model))
        thin = full - sum(each for each, of_table in zip(saved, held, strict=True) if of_table)
        slim = full - 4 * int(frame["params_gone"][held].sum()) if view.what == "channels" else full
    rows = [
        _row("dense file", dense, dense, True, full),
        _row("sparse (a bit a position)", dense - sum(saved), dense, tables=thin),
        _row("after surgery", after, dense, tables=slim),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _size_caption(view: View, frame: pd.DataFrame) -> str:
    """Say which way of storing is smallest."""
    rows = frame[~frame["dense"]]
    best = rows.loc[rows["bytes"].idxmin()]
    if view.what == "weights":
        return (
            "Zeros in a plain file save nothing: only compression or a sparse format makes it smaller. Smallest "
            f"here: {best['label']}, {size(best['bytes'])}."
        )
    after = rows.loc[rows["label"] == "after surgery"].iloc[0]
    return (
        f"After surgery the plain file holds {size(after['bytes'])} and the model runs at that size; gzip and sparse formats "
        "are unpacked to the dense size before it can run."
    )
