"""The choices of the Recover page: what follows the cut, and its plan as a picture."""

from __future__ import annotations

from dataclasses import asdict, replace

import pandas as pd
import streamlit as st

from prunekit.config.recovery import Recovery
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.formatting import percent, plural
from prunekit.plots.learning_curves import schedule_chart
from prunekit.training.batchnorm import norms_left
from prunekit.training.recalibration_gain import NO_NORMS
from prunekit.training.schedule_preview import planned
from prunekit.ui import routes
from prunekit.ui.components import per_layer, setting_controls, show
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.state import session
from prunekit.ui.state.address import MOST_EPOCHS
from prunekit.ui.state.settings import Settings

RATES = {"cosine": "Falls along a cosine", "rewind": "Rewound: as at the end of the model's own training", "constant": "Stays"}
OPTIMIZERS = {"sgd": "SGD", "adam": "Adam"}
SCHEDULES = {"one-shot": "Once (one-shot)", "iterative": "Iterative", "agp": "AGP (cubic)", "linear": "Linear"}
SCHEDULE_HELP = (
    "- **Once**: one cut, then all epochs.\n"
    "- **Iterative**: every cut removes the same share of what is left (Han et al. 2015).\n"
    "- **AGP**: much at first, ever less later (Zhu and Gupta 2017).\n"
    "- **Linear**: the same amount at every cut.\n\nThe gradual ones fine-tune after every cut and need at least one epoch for each."
)


def what_is_pruned(now: Settings, loaded: Loaded) -> None:
    """Say which setting is recovered, and where to change it."""
    amount = now.pattern if now.mode == "nm" else percent(now.sparsity, 0 if round(100 * now.sparsity, 6) % 1 == 0 else 1)
    counted = setting_controls.COUNTED[now.target if now.mode == "structured" else "weights"]
    words = setting_controls.name_of(now.mode, now.criterion, now.scope)
    if now.overrides:
        words = f"{words.rpartition(', ')[0]}, own shares of {plural(len(now.overrides), 'layer')}"
    in_all = " in all" if now.overrides else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{words}**: {amount}" + (" of every block" if now.mode == "nm" else f" of {counted} removed{in_all}") + ".")
        routes.link("prune", "Change what is pruned")
    with show.slot():
        per_layer.shown(now, loaded, link=False)


def choices(now: Settings, loaded: Loaded, data: Data) -> None:
    """Show what can follow the cut."""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            st.number_input("Epochs of fine-tuning", min_value=0, max_value=MOST_EPOCHS, step=1, width=150, **session.bind("epochs"))
            st.number_input(
                "Peak learning rate", min_value=0.0, max_value=10.0, step=0.001, format="%.4g", width=150, disabled=now.rate == "rewind",
                **session.bind("lr"),
            )  # fmt: skip
            st.selectbox("Learning rate", list(RATES), format_func=RATES.__getitem__, width=330, **session.bind("rate", start=list(RATES)))
            st.selectbox(
                "Optimiser",
                list(OPTIMIZERS),
                format_func=OPTIMIZERS.__getitem__,
                width=110,
                **session.bind("optimizer", start=list(OPTIMIZERS)),
            )
        with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
            modes = ["one-shot"] if now.mode == "nm" else list(SCHEDULES)
            st.segmented_control(
                "Prune", modes, format_func=SCHEDULES.__getitem__, required=True, help=SCHEDULE_HELP,
                **session.bind("schedule", start="default", show=lambda name: name if name in modes else "one-shot", then=_take_schedule),
            )  # fmt: skip
            if now.schedule != "one-shot" and now.mode != "nm":
                st.number_input("in so many cuts", min_value=2, max_value=100, step=1, width=130, **session.bind("steps"))
        _more(now, loaded, data)


def _take_schedule(name: str) -> None:
    """Take a schedule; a gradual one needs an epoch for every cut."""
    now = session.settings()
    session.change(schedule=name, epochs=max(now.epochs, now.steps) if name != "one-shot" else now.epochs)


def _more(now: Settings, loaded: Loaded, data: Data) -> None:
    """Show the choices that most people leave alone."""
    with st.expander("More choices", icon=":material/tune:"), st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        st.checkbox(
            "Recalibrate BatchNorm first",
            disabled=not has_norms(loaded),
            help="Measure the statistics of BatchNorm again on training images after the cut: cheap, and often most of the way back."
            if has_norms(loaded)
            else f"{NO_NORMS[:1].upper()}{NO_NORMS[1:]}.",
            **session.bind("recalibrate"),
        )
        st.checkbox(
            "Shift and mirror as in training", help="A sample's own augmentation; other models have none.", **session.bind("augment")
        )
        st.slider(
            "Learn from the dense model (distillation)", min_value=0, max_value=100, step=5, format="%d %%", width=260,
            help="Weight of the dense model's softened answers in the loss; the labels have the rest (Hinton et al. 2015).",
            **session.bind("distill", show=lambda share: round(100 * share), take=lambda value: value / 100),
        )  # fmt: skip
        st.number_input(
            "Temperature", min_value=0.1, max_value=100.0, step=0.5, width=120, disabled=not now.distill, **session.bind("temperature")
        )
        whole = len(data.train) if data.train is not None else 0
        st.number_input(
            f"Training images (0 for all {whole:,})", min_value=0, max_value=max(whole, 1), step=500, width=210,
            help="A fixed, stratified choice: quicker, and not as good.", **session.bind("train_images", show=lambda n: min(n, whole)),
        )  # fmt: skip
        st.number_input("Seed", min_value=0, max_value=2**53 - 1, step=1, width=110, **session.bind("seed"))


def has_norms(loaded: Loaded) -> bool:
    """Return whether a model has statistics that can be measured again."""
    return bool(norms_left(loaded.model))


def recovery_of(now: Settings, loaded: Loaded) -> Recovery:
    """Return what follows the cut; what is not there is not recalibrated."""
    whole = now.recovery()
    return whole if has_norms(loaded) else replace(whole, recalibrate=False)


def problem(now: Settings, loaded: Loaded) -> str:
    """Return why the choices cannot be carried out, or an empty string."""
    if now.schedule != "one-shot" and now.mode != "nm" and now.epochs < now.steps:
        cuts = plural(now.steps, "cut")
        return f"{SCHEDULES[now.schedule]} fine-tunes after each of {cuts}: set at least {plural(now.steps, 'epoch')}, or fewer cuts."
    if not recovery_of(now, loaded).active:
        return "Nothing follows the cut: set at least one epoch" + (", or recalibrate BatchNorm." if has_norms(loaded) else ".")
    return ""


def plan(now: Settings, loaded: Loaded, data: Data) -> None:
    """Draw the schedule against epochs before anything is run."""
    if not now.epochs or data.train is None or problem(now, loaded):
        return
    images = min(now.train_images, len(data.train)) if now.train_images else len(data.train)
    try:
        moments = planned(loaded.model, now.spec(loaded.every), recovery_of(now, loaded), images)
    except PrunekitError as error:
        st.warning(show.plain(str(error)), icon=":material/block:")
        return
    recovery = now.recovery()
    frame = pd.DataFrame([asdict(moment) for moment in moments])
    cuts = [percent(share, 0) for share in dict.fromkeys(frame["sparsity"])]
    words = f"{plural(recovery.steps, 'cut')} to {', '.join(cuts)}" if len(cuts) > 1 else f"one cut to {cuts[0]}"
    peak = float(frame["lr"].max())
    note = f"The plan: {words} over {plural(recovery.epochs, 'epoch')} of {images:,} images; the learning rate peaks at {peak:.3g}."
    with st.expander("The plan: sparsity and learning rate against epochs", icon=":material/timeline:", expanded=len(cuts) > 1):
        show.chart(schedule_chart(frame, dark=show.dark()), "schedule", note)
