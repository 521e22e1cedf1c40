"""Each preset behaves as it is said to, and what is said follows the measurement."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import prunekit
from prunekit.errors import PrunekitError
from prunekit.evaluation.progress import Cancelled, Progress
from prunekit.evaluation.quality import Evaluation, accuracy_of
from prunekit.lessons.presets import PRESETS, Measured, Preset, measure, preset
from prunekit.models.layers import prunable_layers
from prunekit.ui.state.address import decode, encode
from prunekit.ui.state.settings import Settings

NAMES = [found.key for found in PRESETS]


@pytest.fixture(scope="module")
def measured() -> dict[str, Measured]:
    return {found.key: measure(found) for found in PRESETS}


def read_right(n: int) -> Evaluation:
    return accuracy_of(np.arange(360) < n)


@pytest.mark.slow
@pytest.mark.parametrize("key", NAMES)
def test_a_preset_is_as_good_or_bad_as_it_is_an_example_of(measured: dict[str, Measured], key: str) -> None:
    assert preset(key).as_meant(measured[key])


@pytest.mark.slow
@pytest.mark.parametrize("key", NAMES)
def test_a_preset_measures_what_the_core_measures_with_the_page_s_settings(measured: dict[str, Measured], key: str) -> None:
    model, data = prunekit.load_model("digits_cnn"), prunekit.load_data("digits")
    picked = Settings(**preset(key).settings)
    made = prunekit.prune_and_recover(model, picked.spec(prunable_layers(model)), picked.recovery(), data)
    assert measured[key].found == prunekit.evaluate(made.model, data.test)
    assert measured[key].dense == prunekit.evaluate(model, data.test)


@pytest.mark.slow
def test_in_recalibration_not_one_weight_differs(measured: dict[str, Measured]) -> None:
    found = measured["stale"]
    for name in prunable_layers(found.result.model):
        ours, other = (result.model.get_submodule(name).weight for result in (found.result, found.against))
        assert bool((ours == other).all())


@pytest.mark.slow
@pytest.mark.parametrize("key", NAMES)
def test_the_reason_turns_where_the_measurement_turns(measured: dict[str, Measured], key: str) -> None:
    results = (measured[key].result, measured[key].against)
    bad = Measured(read_right(350), read_right(100), read_right(340), *results)
    fine = Measured(read_right(350), read_right(345), read_right(344), *results)
    assert preset(key).reason(bad) != preset(key).reason(fine)
    assert "27.8 % of 360" in preset(key).reason(bad)
    assert "66.7 points less, a real difference" in preset(key).reason(bad)
    assert "not significant" in preset(key).reason(fine)
    last = [preset(key).reason(found).split(". ", 1)[1] for found in (bad, fine)]
    assert last[0] != last[1]
    assert not preset(key).as_meant(fine)


@pytest.mark.parametrize("found", PRESETS, ids=lambda found: found.key)
def test_both_settings_of_a_preset_live_in_an_address(found: Preset) -> None:
    for settings in (found.settings, found.other):
        picked = Settings(**settings)
        assert decode(encode(picked)) == (picked, [])
    assert found.settings != found.other


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PrunekitError, match="magnitude, random"):
        preset("perfect")


def test_a_preset_that_trains_says_how_far_it_is_and_stops_on_request() -> None:
    stop, heard = threading.Event(), list[tuple[float, str]]()

    def progress(share: float, text: str) -> None:
        heard.append((share, text))
        if share > 0.6:
            stop.set()

    with pytest.raises(Cancelled):
        measure(preset("oneshot"), progress=Progress(progress, stop))
    shares = [share for share, _ in heard]
    assert shares == sorted(shares)
    assert 0.45 < shares[-1] < 0.9
    assert len(set(shares)) > 5


def test_progress_goes_from_nothing_to_nearly_all() -> None:
    heard = list[float]()
    measure(preset("random"), progress=Progress(lambda share, _: heard.append(share)))
    assert heard == sorted(heard)
    assert heard[0] == 0
    assert heard[-1] == 0.9


def test_a_preset_says_what_it_does() -> None:
    said = {found.key: found.does for found in PRESETS}
    assert said["magnitude"] == "50 % of the weights go, the smallest of all layers together; nothing is repaired."
    assert "drawn by lot" in said["random"]
    assert "90 % of the weights go, the smallest of conv1;" in said["first"]
    assert said["untuned"].startswith("70 % of the channels")
