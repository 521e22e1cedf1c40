"""The rest of the Start page: the dense baseline, the data, and what the model says to them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from prunekit.config.fields import table
from prunekit.config.ids import DataId
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import chance_sentence
from prunekit.evaluation.sizes import TABLES, parts
from prunekit.formatting import count, percent, plural, size
from prunekit.tasks.classification import Classification
from prunekit.tasks.protocol import Task
from prunekit.tasks.resolver import resolve
from prunekit.tasks.shown import Boxes, ClassMap
from prunekit.tasks.wording import capital, written
from prunekit.ui.components import answers, show
from prunekit.ui.components.field_controls import control
from prunekit.ui.shared import asking, data_cache, measuring, model_cache
from prunekit.ui.shared import baseline as dense
from prunekit.ui.shared.data_cache import source_of
from prunekit.ui.shared.model_cache import Loaded
from prunekit.ui.start import input_fields
from prunekit.ui.state import session
from prunekit.ui.state.current_model import data_in_use, model_in_use
from prunekit.ui.state.settings import Settings


def baseline() -> None:
    """Show what the dense model can do and costs."""
    now, loaded = model_in_use(link=False)
    show.section(f"Dense baseline: {model_cache.title_of(now.model)}")
    figure, counts = dense.figure(now, loaded), model_cache.counts_of(loaded.source)
    tiles = st.columns(4)
    with tiles[0]:
        if figure:
            metric, below = figure.metric, show.interval(figure.low, figure.high, figure.n, figure.metric)
            note = f"95\u202f% interval ({show.interval_by(metric)}), on the {figure.where}."
            show.tile(metric.title, written(metric, figure.value), "measured", below, note)
        else:
            nothing = data_cache.data_name(now, loaded) == data_cache.NO_DATA
            show.tile(
                measuring.task_here(now, loaded).headline.title, "—", "", "no data to measure it on" if nothing else "not measured yet"
            )
    with tiles[1]:
        show.tile("Parameters", count(counts.params), "counted", f"in {plural(len(loaded.layers), 'prunable layer')}")
    with tiles[2]:
        guess = ", a guess" if loaded.guessed else ""
        show.tile("MACs", count(counts.macs), "counted", f"for one input of {loaded.input_words}{guess}")
    with tiles[3]:
        file = model_cache.file_of(loaded.source)
        apart = parts(file.to_dict()).get("dense", {})
        words = f"Safetensors, dense: {', '.join(f'{size(n)} {part}' for part, n in apart.items())}." if apart else ""
        show.tile("File", size(file.dense), "counted", f"{size(apart[TABLES])} of it tables" if apart else "safetensors, dense", words)
    with show.slot():
        data = data_cache.data_here(now, loaded) if input_fields.are_asked(now) else None
        show.doubts([chance_sentence(figure), *loaded.guesses(data)])
    if loaded.info.checked:
        st.caption(f"✓ Opened from its folder, {show.plain(loaded.info.checked)}.")


def choose_inputs() -> None:
    """Show which data are in use and let people choose others; of a model of their own also what goes into it."""
    now = session.settings()
    own = input_fields.are_asked(now)
    with st.container(border=own):
        if own:
            st.markdown("**What goes into it**")
        _choose_data(now)
        if own:
            input_fields.fields(now)
            input_fields.choose_task(now)


def _choose_data(now: Settings) -> None:
    """Show which data are in use, and let people choose others."""
    try:
        loaded = model_cache.load(source_of(now))
    except PrunekitError:  # the page says why
        return
    usual_limit = data_cache.known_data(loaded).get(data_cache.data_name(now, loaded), DataId("none")).limit or 0
    most = table(Settings)["limit"].kind.screen[1]
    whole = most if usual_limit else 0  # against a limit of the data's own
    name = data_cache.data_name(now, loaded)
    names = list(dict.fromkeys([*data_cache.data_names(loaded), name]))
    left, right = st.columns(2, vertical_alignment="bottom")
    with left:
        st.selectbox(
            "Data", names, on_change=_take_data, format_func=lambda name: {data_cache.NO_DATA: "no data"}.get(name, name),
            **session.mirror("pick_data", name, names),
        )  # fmt: skip
    with right:
        shown = lambda n: 0 if n == most else n or usual_limit  # noqa: E731
        control("limit", "At most so many samples in each split (0 for all)", show=shown, take=lambda n: n or whole, width="stretch")


def _take_data() -> None:
    """Take other data; the model's own are the default and stay out of the address."""
    now = session.settings()
    try:
        usual = data_cache.usual_data(model_cache.load(source_of(now)))
    except PrunekitError:
        usual = ""
    name = str(st.session_state["pick_data"])
    session.change(data="" if name == usual else name, split="")


def predictions() -> Data | None:
    """Show pictures from the data of a classifier, each with what the dense model says; return the data."""
    now, loaded = model_in_use(link=False)
    show.section("What does it see, and what does it say?")
    data = data_in_use(now, loaded)
    if data is None:
        return None
    task = None
    with show.plain_errors(stop=False):
        task = resolve(loaded.model, data)
        known = data_cache.images_of(now, loaded, data)
        first = asking.sample(loaded, known, 0) if len(data.test) else None
        if first is not None and isinstance(first.truth, (Boxes, ClassMap)):
            _found(now, loaded, data)
        elif first is not None and task.answered[1] != task.units_of_data:
            _shared(now, loaded, data, task)
        elif first is not None and first.picture is not None and isinstance(task, Classification):
            _pictures(now, loaded, data)
        else:
            _answers(now, loaded, data, task)
    if task is None:  # model and data are of two tasks
        return None
    st.caption(" ".join(filter(None, [data.pixels, _splits(data), data.note])))
    key, figure = dense.key(now, loaded), dense.figure(now, loaded)
    if figure is None or figure.n < len(data.test):
        label = f"Measure the dense model on {len(data.test):,} test {task.units_of_data}"
        st.button(label, key="measure_baseline", icon=":material/speed:", on_click=dense.measure, args=(now, loaded, data))
    measuring.panel(key)
    return data


def _pictures(now: Settings, loaded: Loaded, data: Data) -> None:
    """Draw test pictures with predictions and say how many are right."""
    found = asking.guesses(loaded.source, data_cache.images_of(now, loaded, data))
    captions = [f"{g.said} ✓" if g.right else f"**{g.said}** ✗ is {g.truth}" for g in found]
    with st.grid(12, min_column_width=60, gap="xsmall"):
        for guess, caption in zip(found, captions, strict=True):
            st.image(guess.picture, caption=caption, width=58, alt=f"A test picture of {guess.truth}; the model says {guess.said}")
    wrong = [guess for guess in found if not guess.right]
    if wrong:
        sure = max(wrong, key=lambda guess: guess.confidence)
        note = f"The wrong ones stand here on purpose; in the worst the model was {percent(sure.confidence, 0)} sure of “{sure.said}”."
    else:
        note = "It gets all of these right."
    st.caption(f"Test pictures with the dense model's answer. {note}")


def _found(now: Settings, loaded: Loaded, data: Data) -> None:
    """Draw test pictures with what the dense model finds in them."""
    pairs = asking.found(loaded.source, data_cache.images_of(now, loaded, data))
    with st.grid(4, min_column_width=150, gap="small"):
        for shown, answer in pairs:
            with st.container():
                answers.overlay(shown, answer, f"A test picture; the model finds {answer.said}")
                st.caption(show.plain(capital(answers.told(shown, answer))) + ".")
    answers.legend_of([shown.truth for shown, _ in pairs] + [answer for _, answer in pairs])


def _shared(now: Settings, loaded: Loaded, data: Data, task: Task) -> None:
    """Show answers that several samples share, such as the first of a user's candidates."""
    pairs = asking.found(loaded.source, data_cache.images_of(now, loaded, data), 4)
    for number, (box, (shown, answer)) in enumerate(zip(st.columns(2, gap="medium") * 2, pairs, strict=False)):
        with box, st.container(border=True):
            answers.sample(shown, f"{task.answered[0]} {number}")
            answers.draw({"Dense": answer}, f"shared_{number}")


def _answers(now: Settings, loaded: Loaded, data: Data, task: Task) -> None:
    """Show what the task observes of the first test samples."""
    frame = asking.answers(loaded.source, data_cache.images_of(now, loaded, data))
    forms: dict[str, Any] = {name: st.column_config.NumberColumn(name, format="%.4g") for name in frame.select_dtypes("number")}
    forms |= {"text": st.column_config.TextColumn("text", width=400)} if "text" in frame else {}
    st.dataframe(frame, column_config=forms, width="content", alt=f"What is observed of the first test {task.units_of_data}")
    st.caption(f"The first {len(frame)} test {task.units_of_data}, and what is observed of the dense model's answers to them.")


def _splits(data: Data) -> str:
    """Say how many samples each split has."""
    parts = [(data.train, "to train"), (data.validation, "to choose by (validation)"), (data.test, "to confirm (test)")]
    return ", ".join(f"{len(split):,} {what}" for split, what in parts if split is not None) + "."
