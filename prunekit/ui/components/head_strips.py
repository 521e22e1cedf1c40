"""The heads of attention as strips: on the Layers page by their score, on the Prune page also which are removed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.errors import PrunekitError
from prunekit.plots.heads import head_strip, head_strip_caption
from prunekit.pruning.structured.attention_units import head_frame
from prunekit.pruning.structured.axis_sizes import within
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.ui.components import show
from prunekit.ui.shared import cuts, model_cache, scores
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import NO_IMAGES, Loaded, Source

HIGH = 520  # pixels: a taller picture scrolls on its own


@shared(16)
def _scored(source: Source) -> pd.DataFrame:
    """Return the heads of a dense model with their score by magnitude; none where structured pruning cannot see them."""
    try:
        graph = cuts.graph(source)
        if not any(group.kind == "heads" for group in graph.groups):
            return pd.DataFrame()
        ranking = scores.ranking_of(source, PruneSpec(mode="structured"), NO_IMAGES)
    except PrunekitError:
        return pd.DataFrame()
    assert isinstance(ranking, ChannelRanking)
    return head_frame(graph, model_cache.load(source).model, None, _plain(ranking))


def _plain(ranking: ChannelRanking) -> dict[str, np.ndarray]:
    """Return the scores of a ranking's groups as numbers."""
    return {name: np.asarray(each, dtype=np.float64) for name, each in ranking.scores.items()}


def of_layers(loaded: Loaded) -> None:
    """Show the heads of a dense model, where it has some that can go."""
    frame = _scored(loaded.source)
    if frame.empty:
        return
    show.section("Which heads of attention are there?", "Each cell is a head, which structured pruning can take away as a whole.")
    _draw(frame, f"{CRITERIA['l1'].title} score", "heads_of_layers")


def of_cut(loaded: Loaded, view: View) -> None:
    """Show which heads stay, where some may go."""
    if not isinstance(view.cut, Plan) or not isinstance(view.ranking, ChannelRanking):
        return
    frame = head_frame(view.cut.graph, loaded.model, view.cut.gone, _plain(view.ranking))
    if not frame.empty:
        stays = [not within(name, view.cut.blocks) for name in frame["layer"]]
        frame = frame.assign(kept=frame["kept"].to_numpy(dtype=bool) & np.array(stays))
        show.section("Which heads stay?")
        _draw(frame, f"{CRITERIA[view.spec.criterion].title} score", "heads_of_cut")


def _draw(frame: pd.DataFrame, what: str, key: str) -> None:
    """Draw the strips."""
    fig = head_strip(frame, what=what, dark=show.dark())
    with st.container(height=HIGH if fig.layout.height > HIGH else "content", border=False):
        show.chart(fig, key, "", alt="Heads of attention, layer by layer")
    st.caption(show.plain(head_strip_caption(frame, what)))
