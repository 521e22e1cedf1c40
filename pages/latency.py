"""Latency: is it really faster, here?"""

from prunekit.experiments.jobs import board
from prunekit.ui.components import show
from prunekit.ui.latency import PAGE, diagnosis, measurement, results, setup
from prunekit.ui.shared import data_cache, measuring, scores
from prunekit.ui.start import input_fields
from prunekit.ui.state.current_model import data_in_use, model_in_use

show.heading(PAGE)
now, loaded = model_in_use()
setup.setting(now, loaded)
name, data = data_cache.data_name(now, loaded), None
if name != data_cache.NO_DATA and (setup.wants_data(now) or data_cache.at_hand(name)):
    data = data_in_use(now, loaded)
with show.slot():
    if data is None and name == data_cache.NO_DATA and setup.needs_data(now):
        scores.without_data(now.spec(loaded.every))
with show.slot():
    show.doubts(loaded.guesses(data) if input_fields.are_asked(now) else ())
with show.plain_errors():
    key, found = measurement.key_of(now, loaded), measurement.known(now, loaded)
    measurement.button(now, loaded, data, found is not None)
    measuring.panel(key)
    job = board().get(key)
    busy = job is not None and job.active
    with show.slot():
        if found is not None and not busy:
            results.results(now, found)
        elif not busy:
            show.empty(
                "Nothing has been measured with this setting yet. Press **Measure latency here**: exporting and trying each runtime takes "
                "some seconds, then the time budget counts, and other measurements wait meanwhile.",
                "timer",
            )
    diagnosis.why(now, loaded, data)
