"""What the setting in view is likely to break, before anybody measures: a warning each, and a button that avoids it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from prunekit.config.spec import PruneSpec
from prunekit.evaluation.cautions import Caution, LayerCut
from prunekit.experiments.jobs import board
from prunekit.experiments.sensitivity_run import NOTHING, Known, known_losses
from prunekit.models.layers import outputs_of
from prunekit.tasks.wording import capital
from prunekit.ui.classroom import rules
from prunekit.ui.components import show
from prunekit.ui.shared import measuring, model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import View
from prunekit.ui.shared.model_cache import Loaded, Source
from prunekit.ui.state import session
from prunekit.ui.state.settings import Settings


@shared(24)
def _known(weights: str, spec: PruneSpec, stamp: tuple[int, str]) -> Known:
    """Return what is stored that bears on a setting; read again once something new is."""
    return known_losses(board().store, weights, spec)


@shared(32)
def _outputs(source: Source) -> dict[str, int]:
    """Return how many outputs each layer has."""
    loaded = model_cache.load(source)
    return {name: outputs_of(loaded.model, name) for name in loaded.every}


def of_view(now: Settings, loaded: Loaded, view: View) -> tuple[Caution, ...]:
    """Return what the setting of a cut is likely to break."""
    store, outputs = board().store, _outputs(loaded.source)
    known = NOTHING
    if store is not None and not rules.active():  # in a class nobody sees what others measured
        stamp = store.stamp()
        if stamp[0]:  # else nothing is stored, and hashing a large model takes a while
            weights = measuring.weights_of(now, loaded, tuple(loaded.input_shape))
            known = _known(weights, _at_any_sparsity(view.spec), stamp)
    rows = view.frame[(view.frame["gone"] > 0) & (view.frame["gone"] < view.frame["all"] + (view.what == "weights"))]
    cuts = [LayerCut(row.name, int(row.all - row.gone), int(row.all), outputs[row.name]) for row in rows.itertuples(index=False)]
    return known.cautions(view.spec, cuts, None if view.rows_alone else view.achieved)


def _at_any_sparsity(spec: PruneSpec) -> PruneSpec:
    """Return a setting as it is for all sparsities, so that a slider's move reads nothing."""
    return spec if spec.sparsity is None or spec.mode == "nm" else replace(spec, sparsity=0.5)


def section(now: Settings, loaded: Loaded, view: View) -> None:
    """Show the warnings, each with its ways out."""
    for caution in of_view(now, loaded, view):
        named = caution.sentence.split(maxsplit=1)[0] in loaded.every  # a layer's name stays as it is written
        text = show.plain(caution.sentence if named else capital(caution.sentence)) + "."
        with st.container(key=f"caution_{caution.kind}"):
            st.warning(text, icon=":material/warning:")
            if caution.choices:
                with st.container(horizontal=True):
                    for number, choice in enumerate(caution.choices):
                        st.button(
                            choice.words, key=f"avoid_{caution.kind}_{number}", icon=":material/undo:", on_click=_take,
                            args=(loaded.source, choice.changes),
                        )  # fmt: skip


def _take(source: Source, changes: dict[str, Any]) -> None:
    """Take a way out; a button's callback."""
    place = {name: i for i, name in enumerate(model_cache.load(source).every)}
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name in ("caps", "overrides"):
            values[name] = tuple((place[layer], share) for layer, share in value if layer in place)
        else:
            values[name] = 1.0 if name == "cap_all" and value is None else value
    if "overrides" in values and session.settings().targets:  # targets are scaled anew: they are capped as well
        values.pop("overrides")
    session.change(**values)
