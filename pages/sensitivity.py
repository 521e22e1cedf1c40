"""Sensitivity: which layers are fragile?"""

import streamlit as st

from prunekit.ui.components import show
from prunekit.ui.sensitivity import PAGE, pictures, scan, targets
from prunekit.ui.state.current_model import judged_data_in_use, model_in_use

show.heading(PAGE)
now, loaded = model_in_use()
data, task = judged_data_in_use(now, loaded)
with show.plain_errors():
    with show.slot():
        scan.setting(now, data, task)
    request = scan.request_of(now, loaded, data)
    found = scan.known_results(request, loaded, data)
    scan.button(loaded.source.name, request, found)
    if scan.live(now, request, task):
        show.end_page()
    if found is None:
        show.empty(
            "Nothing has been measured with this choice yet. Press **Measure**: a first picture comes soon, and it sharpens as more "
            f"{task.units_of_data} are looked at.",
            "monitor_heart",
        )
        show.end_page()
    above = st.container()
    show.section("How much should each layer give?", "Targets from these curves, each with its reason; change what you know better.")
    targets.goal(now, found.dense)
    suggestion = targets.suggested(now, loaded, data, found, request.spec)
    if suggestion is not None:
        targets.table(now, loaded, data, found, request.spec, suggestion)
    with above:
        pictures.pictures(now, found, task, None if suggestion is None else suggestion.overrides, data.classes or loaded.info.classes)
