"""Whole residual blocks: which can go and which not, how many go, and which of them may."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import streamlit as st

from prunekit.errors import PrunekitError
from prunekit.formatting import count, percent, plural
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.ui.components import show
from prunekit.ui.components.group_changes import listed
from prunekit.ui.shared import cuts, model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.data_cache import source_of
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings

SLIDER_HELP = (
    "A block that gives its input plus what it makes of it, in the same shape, can go as a whole: its input goes on in its place. "
    "The blocks of the lowest score go first; which of them may go is set in the table below. What they take along counts towards the "
    "share above."
)
INFLUENCE_HELP = (
    "Block influence: how far a block turns what passes through it, on training samples. Without the tick the criterion decides, by the "
    "weights in a block."
)
HIGH = 330  # pixels: a longer table scrolls
WIDTHS = {"becomes": 85, "layers": 60, "params": 90, "share": 125, "macs": 120}


@shared(32)
def block_frame(source: Source) -> pd.DataFrame:
    """Return the blocks that can go as a whole.

    Columns ``block`` (name), ``becomes`` (what stands there afterwards), ``layers``, ``params`` (counts), ``share`` (of all parameters),
    ``macs`` (share of all MACs; those of its layers).
    """
    graph, model, counts = cuts.graph(source), model_cache.load(source).model, model_cache.counts_of(source)
    rows = []
    for block in graph.blocks:
        params = sum(p.numel() for p in model.get_submodule(block.name).parameters())
        macs = sum(graph.macs.get(name, 0) for name in block.layers)
        rows.append((block.name, block.becomes, len(block.layers), params, params / counts.params, macs / max(counts.macs, 1)))
    return pd.DataFrame(rows, columns=["block", "becomes", "layers", "params", "share", "macs"])


def names_of(source: Source) -> tuple[str, ...]:
    """Return the names of the blocks that can go; none where structured pruning cannot see the model."""
    try:
        return tuple(block_frame(source)["block"])
    except PrunekitError:
        return ()


@shared(32)
def staying(source: Source) -> tuple[str, ...]:
    """Return the modules of the same class as a block that can go, which cannot."""
    model, names = model_cache.load(source).model, names_of(source)
    kinds = tuple({type(model.get_submodule(name)) for name in names})
    return tuple(name for name, module in model.named_modules() if type(module) in kinds and name not in names)


def section(loaded: Loaded) -> None:
    """Show on the Layers page which blocks can go as a whole, and which not."""
    try:
        frame = block_frame(loaded.source)
    except PrunekitError:
        return  # said above, where the couplings are
    if frame.empty:
        return
    show.section("Which blocks can go as a whole?", "A residual block adds to its input; without it, its input goes on in its place.")
    st.dataframe(
        show.in_percent(frame, "share", "macs"), column_config=_columns(), hide_index=True, height=HIGH if len(frame) > 9 else "content",
        alt="Residual blocks that can be removed as a whole",
    )  # fmt: skip
    st.caption(_caption(frame, staying(loaded.source)))


def _columns() -> dict[str, Any]:
    """Return how the columns look."""
    column = st.column_config
    bars = {"share": "Share of parameters", "macs": "Share of MACs"}
    return {
        "block": column.TextColumn("Block"),
        "becomes": column.TextColumn("Becomes", width=WIDTHS["becomes"], help="What stands there afterwards, of torch.nn."),
        "layers": column.NumberColumn("Layers", width=WIDTHS["layers"]),
        "params": column.NumberColumn("Parameters", format="localized", width=WIDTHS["params"]),
        **{name: show.share(title, width=WIDTHS[name]) for name, title in bars.items()},
    }


def _caption(frame: pd.DataFrame, others: tuple[str, ...]) -> str:
    """Say what all blocks hold together, and why their like stay."""
    start = (
        f"**{plural(len(frame), 'block')}** can go: {count(frame['params'].sum())} parameters, {percent(frame['share'].sum())} of all, "
        f"and layers with {percent(frame['macs'].sum())} of the MACs."
    )
    if not others:
        return start
    one = len(others) == 1
    return (
        f"{start} **{listed(others, 6)}** {'is' if one else 'are'} of the same kind and {'stays' if one else 'stay'}: "
        f"{'it does' if one else 'they do'} not hand {'its' if one else 'their'} input on unchanged (another shape, or a layer on the "
        "shortcut), so nothing could stand in."
    )


def candidates(now: Settings, source: Source) -> tuple[str, ...]:
    """Return the blocks that may go: those that are ticked, or all."""
    return tuple(name for name in names_of(source) if now.blocks is None or name in now.blocks)


def going(depth: float, blocks: int) -> int:
    """Return how many of some blocks go at a depth."""
    return math.floor(depth * blocks + 0.5)


def depth_of(number: int, blocks: int) -> float:
    """Return the depth at which so many of some blocks go."""
    return round(min(number, blocks) / max(blocks, 1), 8)


def slider(now: Settings, loaded: Loaded) -> None:
    """Show how many blocks go, where any can."""
    most, by_influence = len(candidates(now, loaded.source)), now.remove_layers > 0
    if not most:
        return
    shown = session.bind("remove_layers", show=lambda number: min(number, most), take=int) if by_influence else None
    shown = shown or session.bind("depth", show=lambda depth: going(depth, most), take=lambda number: depth_of(int(number), most))
    st.slider("Remove whole blocks", min_value=0, max_value=most, step=1, format=f"%d of {most}", help=SLIDER_HELP, **shown)
    if number(now, most):
        st.checkbox(
            "Those of the least influence first", value=by_influence, help=INFLUENCE_HELP, on_change=_change_order, args=(most,),
            key=f"by_influence_{by_influence}",
        )  # fmt: skip


def number(now: Settings, most: int) -> int:
    """Return how many of so many blocks go."""
    return min(now.remove_layers, most) or going(now.depth, most)


def _change_order(most: int) -> None:
    """Let as many blocks go as before, by the criterion instead of by influence or the other way round; a callback."""
    now = session.settings()
    goes = number(now, most)
    session.change(**({"remove_layers": 0, "depth": depth_of(goes, most)} if now.remove_layers else {"remove_layers": goes, "depth": 0.0}))


def table(now: Settings, loaded: Loaded, view: View | None) -> None:
    """Show on the Prune page every block with a tick, its score, and whether it goes."""
    frame = show.in_percent(block_frame(loaded.source), "share", "macs")
    ticked = candidates(now, loaded.source)
    frame.insert(0, "tick", [name in ticked for name in frame["block"]])
    plan = view.cut if view is not None and isinstance(view.cut, Plan) else None
    scores = view.ranking.block_scores if view is not None and isinstance(view.ranking, ChannelRanking) else {}
    frame.insert(2, "score", [scores.get(name, math.nan) for name in frame["block"]])
    frame.insert(3, "goes", [("goes" if name in plan.blocks else "stays") if plan else "" for name in frame["block"]])
    column = st.column_config
    config = {
        "tick": column.CheckboxColumn("May go", width=70, pinned=True),
        **_columns(),
        "score": column.NumberColumn("Score", format="%.3g", width=65, help="By the criterion, or block influence; the lowest go first."),
        "goes": column.TextColumn("Now", width=60),
    }
    key = f"blocks_{loaded.source.name}_{loaded.source.upload}"
    st.data_editor(
        frame if scores else frame.drop(columns="score"), column_config=config, hide_index=True, key=key, on_change=_take_edits,
        args=(key,), height="content" if len(frame) <= 14 else 460, disabled=[name for name in frame if name != "tick"],
        alt="Blocks with a tick each",
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(_note(now, frame), width="stretch")
        if now.blocks is not None:
            st.button("All blocks may go", icon=":material/restart_alt:", on_click=_put, args=(None,))


def _note(now: Settings, frame: pd.DataFrame) -> str:
    """Say how many go, and how to have others go."""
    may, goes = int(frame["tick"].sum()), number(now, int(frame["tick"].sum()))
    if not goes:
        return f"{may} of {plural(len(frame), 'block')} may go and none does: move the slider for whole blocks above."
    which = "least influence" if now.remove_layers else "lowest score"
    return f"{goes} of the {plural(may, 'block')} that may go {'goes' if goes == 1 else 'go'}, those of the {which}."


def _take_edits(key: str) -> None:
    """Carry the ticks into the settings; the table is then drawn from them again."""
    edits: dict[int, dict[str, Any]] = st.session_state[key]["edited_rows"]
    if not edits:
        return
    now = session.settings()
    names = names_of(source_of(now))
    ticked = {name: name in candidates(now, source_of(now)) for name in names}
    ticked |= {names[int(place)]: bool(values["tick"]) for place, values in edits.items() if "tick" in values}
    left = tuple(name for name in names if ticked[name])
    if not left:
        session.change(depth=0.0, blocks=None, remove_layers=0)
        session.complain("No block was left that may go: none goes now, and all may again.")
        return
    _put(None if left == names else left)


def _put(blocks: tuple[str, ...] | None) -> None:
    """Take the blocks that may go, and let as many go as before; only to be called from callbacks."""
    now = session.settings()
    source = source_of(now)
    left = len(names_of(source) if blocks is None else blocks)
    if now.remove_layers:
        session.change(blocks=blocks, remove_layers=min(now.remove_layers, left))
    else:
        session.change(blocks=blocks, depth=depth_of(number(now, len(candidates(now, source))), left))
