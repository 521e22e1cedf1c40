"""What each layer loses, in words: outputs or weights, inputs, or all with its block."""

from __future__ import annotations

import math

import pandas as pd

from prunekit.formatting import percent, plural


def layers_caption(frame: pd.DataFrame, what: str) -> str:
    """Say which layers lose most and least, and which lose inputs.

    Parameters
    ----------
    frame : DataFrame
        Of a `View`.
    what : str
        ``weights`` or ``channels``: what is counted.
    """
    rows = frame[frame["ticked"] & ~whole(frame)]
    blocks, fed = with_blocks(frame), _inputs(frame)
    if not rows["gone"].sum():
        return f"{blocks}{fed}".strip() or "Nothing is removed at this setting."
    grey = int((~frame["ticked"]).sum())
    end = fed + blocks + (f" Grey: {plural(grey, 'layer')} not ticked." if grey else "") + _held(rows)
    end += " Click a bar to look at its layer." if len(frame) > 1 else ""
    most, least = rows.loc[rows["removed"].idxmax()], rows.loc[rows["removed"].idxmin()]
    if len(rows) == 1:
        return f"**{most['name']}** loses {percent(most['removed'])} of its {what}.{end}"
    if math.isclose(float(most["removed"]), float(least["removed"]), abs_tol=0.01):
        who = "Every layer loses" if len(rows) == len(frame) else f"{plural(len(rows), 'layer')} lose"
        return f"{who} about {percent(most['removed'])} of {'its' if len(rows) == len(frame) else 'their'} {what}.{end}"
    return (
        f"**{most['name']}** loses most ({percent(most['removed'])} of its {what}), **{least['name']}** least "
        f"({percent(least['removed'])}).{end}"
    )


def _inputs(frame: pd.DataFrame) -> str:
    """Say which layers lose inputs, and which of them nothing else."""
    if "inputs" not in frame:
        return ""
    fed = frame[(frame["inputs"] > 0) & ~whole(frame)]
    only, both = fed[fed["gone"] == 0], fed[fed["gone"] > 0]
    text = ""
    if len(only):
        top = only.loc[only["inputs"].idxmax()]
        share, which = percent(top["inputs"]), "which the layers before no longer deliver"
        some = f"{plural(len(only), 'layer')} lose only inputs, **{top['name']}** most ({share}), {which}"
        text += f" {some}." if len(only) > 1 else f" **{top['name']}** loses only inputs, {share} of them, {which}."
    if len(both):
        top = both.loc[both["inputs"].idxmax()]
        share = percent(top["inputs"])
        some = f"{plural(len(both), 'layer')} lose both outputs and inputs, **{top['name']}** most inputs ({share})"
        text += f" {some}." if len(both) > 1 else f" **{top['name']}** loses inputs, too ({share})."
    return f"{text} A bar is a layer's matrix: outputs along it, inputs across." if text else ""


def whole(frame: pd.DataFrame) -> pd.Series:
    """Return which layers go with a whole block."""
    return frame["after"].map(lambda shape: shape[0] == 0)


def with_blocks(frame: pd.DataFrame) -> str:
    """Say how many layers go with whole blocks."""
    gone = int(whole(frame).sum())
    return f" {plural(gone, 'layer')} {'goes' if gone == 1 else 'go'} with whole blocks." if gone else ""


def _held(rows: pd.DataFrame) -> str:
    """Say which layers their cap holds: not one weight or channel more could go."""
    names = [str(row.name) for row in rows.itertuples() if row.gone + 1 > row.cap * row.all]
    if not names:
        return ""
    return (
        f" **{', '.join(names[:3])}**{f' and {len(names) - 3} more' if len(names) > 3 else ''} {'are' if names[1:] else 'is'} at the cap."
    )
