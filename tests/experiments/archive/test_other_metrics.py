"""An archive of a run of another task: its README, what is stated of it, and what a check says."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from prunekit.evaluation.quality import Evaluation, accuracy_of
from prunekit.experiments.archive.manifest import RESULT
from prunekit.experiments.archive.repeating import Repeated, _compared
from prunekit.experiments.archive.result_file import stated_in
from prunekit.experiments.records import Measurement
from prunekit.tasks import task
from prunekit.tasks.observations import Observations
from tests.experiments.archive.made import files_of, plain, run_of

OF = task("regression").scaled(0.0, 1.0, "kWh")


def regression() -> Evaluation:
    made = np.random.default_rng(0)
    target = made.normal(size=80)
    return Evaluation.of(Observations.of(prediction=target + 0.1 * made.normal(size=80), target=target), OF.metric("mae"), task=OF)


def test_the_readme_and_what_is_stated_speak_of_the_metric(kept, home, tmp_path):
    run = run_of(kept)
    kept.put_measurement(Measurement.of(run, regression(), {"name": "digits", "limit": None}, "h", "test"))
    files = files_of(plain(kept, run, tmp_path))
    text, result = files["README.md"].decode(), json.loads(files[RESULT])
    assert (
        "| mean absolute error on 80 test samples of digits | – | 0.0782 kWh (0.0663 to 0.0917 kWh) |" in text
        and "| accuracy on 60 test images" in text
    )
    assert "The mean absolute error is 0.0782 kWh on 80 test samples of digits." in text
    stated = stated_in(result)["value"]
    assert stated["metric"] == "mae" and stated["n"] == 80
    told = Repeated(regression(), stated, None, "")
    assert told.same is True and _compared(told) == "Mean absolute error 0.0782 kWh on 80 test samples, as stated"
    other = replace(told, stated={**stated, "value": 0.09})
    assert other.same is False and _compared(other).endswith("stated is 0.0900 kWh on 80")
    assert "which is another metric" in _compared(replace(told, accuracy=accuracy_of([True] * 80)))
