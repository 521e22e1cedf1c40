"""Latency: is it really faster, here?"""

from prunekit.jobs import board
from prunekit.ui import measuring, scoring, show, store, timing
from prunekit.ui.current import data_in_use, model_in_use

show.heading(
    "Is it really faster, here?",
    "The dense model, the same with zeroed weights, and a physically smaller one take turns on this machine: "
    "what counts is measured time, not MACs.",
)
now, loaded = model_in_use()
timing.setting()
data = None
if timing.needs_data(now):
    data = data_in_use(now, loaded) if store.data_name(now, loaded) != store.NO_DATA else None
    if data is None and store.data_name(now, loaded) == store.NO_DATA:
        scoring.without_data(now.criterion)
with show.plain_errors():
    timing.button(now, loaded, data)
    key = timing.key_of(now, loaded)
    measuring.panel(key)
    report = measuring.finished(key)
    job = board().get(key)
    if report is not None:
        timing.results(now, report)
    elif job is None or not job.active:
        show.empty(
            "Nothing has been measured with this setting yet. Press **Measure latency here**: it takes about as long as the time budget, "
            "and other measurements wait meanwhile.",
            "timer",
        )
