"""Recover: what comes back?"""

from prunekit.ui.components import show
from prunekit.ui.recover import PAGE, options, results
from prunekit.ui.state.current_model import judged_data_in_use, model_in_use

show.heading(PAGE)
now, loaded = model_in_use()
data, task = judged_data_in_use(now, loaded)
options.what_is_pruned(now, loaded)
with show.plain_errors():
    if data.train is None:
        units = task.units_of_data
        show.empty(f"These data have no training split, and recovery learns from training {units}: choose data that have one.", "school")
        show.end_page()
    options.choices(now, loaded, data)
    with show.slot():
        options.plan(now, loaded, data, task)
    with show.slot():
        request = options.buttons(now, loaded, data, task, options.problem(now, loaded))
    if request is not None:
        results.results(loaded, request, task)
