"""Latency: is it really faster, here?"""

from prunekit.jobs import board
from prunekit.ui import measuring, scoring, show, store, timed, timing, why
from prunekit.ui.current import data_in_use, model_in_use

show.heading(
    "Is it really faster, here?",
    "The dense model, the same with zeroed weights, and a physically smaller one take turns on this machine, in every runtime: "
    "what counts is measured time, not MACs.",
)
now, loaded = model_in_use()
timing.setting(now, loaded)
name, data = store.data_name(now, loaded), None
if name != store.NO_DATA and (timing.wants_data(now) or store.at_hand(name)):
    data = data_in_use(now, loaded)
with show.slot():
    if data is None and name == store.NO_DATA and timing.needs_data(now):
        scoring.without_data(now.criterion)
with show.plain_errors():
    timing.button(now, loaded, data)
    key = timing.key_of(now, loaded)
    measuring.panel(key)
    report = measuring.finished(key)
    job = board().get(key)
    with show.slot():
        if report is not None:
            timed.results(now, report)
        elif job is None or not job.active:
            show.empty(
                "Nothing has been measured with this setting yet. Press **Measure latency here**: exporting and trying each runtime takes "
                "some seconds, then the time budget counts, and other measurements wait meanwhile.",
                "timer",
            )
    why.why(now, loaded, data)
