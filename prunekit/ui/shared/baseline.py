"""Quality on test data that is known: of the dense model, by its card or measured here, and of the setting in view, by whichever page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import nan
from typing import Any

from prunekit.config.ids import DataId
from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sweep import SweepPoint
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.identity import installed, this_machine
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.new_run import dense_run, pruned_run
from prunekit.experiments.records import QUALITY, Measurement
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.sensitivity_run import WHAT as SENSITIVITY
from prunekit.tasks.classification import ACCURACY
from prunekit.tasks.input_form import form_of_data
from prunekit.tasks.metrics import Metric
from prunekit.tasks.registry import TASKS, task
from prunekit.ui.classroom import rules
from prunekit.ui.shared import data_cache, measuring, model_cache
from prunekit.ui.shared.cache import LRU, shared
from prunekit.ui.shared.model_cache import Images, Loaded, Source
from prunekit.ui.state.settings import Settings


def qualities(now: Settings, loaded: Loaded, spec: PruneSpec, data: Data | None) -> tuple[Evaluation, Evaluation] | None:
    """Return the quality of the dense model and of the pruned one as they were kept, by whichever page; None where they were not."""
    home = board().store
    if home is None or data is None:
        return None
    request = AccuracyRequest(*measuring.names(now, loaded), spec, split="test")
    if not rules.submitted_here(key_of("save", request.to_dict())):
        return None
    try:
        if not spec.looks_at_data:  # most settings were never kept: that is known without a look at the data
            weights = measuring.weights_of(now, loaded, tuple(loaded.input_shape))
            if home.get_run(pruned_run(request.model, weights, spec, Recovery(), "").id) is None:
                return None
        experiment = Experiment(request, loaded.model, data, Keeper(home))
        points = experiment.stored(None, Recovery()), experiment.stored(spec, Recovery())
    except PrunekitError:
        return None
    before, after = (None if point is None else point.accuracy for point in points)
    return None if before is None or after is None else (before, after)


_READ = LRU[tuple[Source, Images], Evaluation](16)
"""Qualities that are known: every page shows them, several times."""


@dataclass(frozen=True)
class Figure:
    """A quality with its interval and where it comes from."""

    value: float  # as low and high in the metric's unit: of accuracy fractions in 0..1
    low: float
    high: float
    n: int
    where: str
    chance: float | None = None
    metric: Metric = ACCURACY


def card_figure(card: Mapping[str, Any] | None, data: str) -> Figure | None:
    """Return the headline metric on test data that a sample's card holds, measured when it was trained."""
    name = (card or {}).get("task")
    metric = task(name).headline if name in TASKS else ACCURACY
    found = (card or {}).get("test_metrics", {}).get(metric.name)
    found = (card or {}).get("test_accuracy") if found is None and metric == ACCURACY else found
    if not isinstance(found, Mapping) or not {"value", "low", "high", "n"} <= set(found):
        return None
    low, high = float(found["low"]), float(found["high"])
    return Figure(float(found["value"]), low, high, int(found["n"]), f"test split of {data}", metric=metric)


def from_card(settings: Settings, loaded: Loaded) -> Figure | None:
    """Return the card's figure where the sample's own weights and its own data, all of them, are in use."""
    data = loaded.info.data
    own = loaded.source == loaded.source.plain and data is not None and data_cache.known_data(loaded).get(data) == DataId(data)
    usual = own and data_cache.data_name(settings, loaded) == data and not settings.limit and not settings.upload
    return card_figure(loaded.info.card, data) if usual and data else None


def request_of(settings: Settings, loaded: Loaded) -> AccuracyRequest:
    """Return what asks for the dense model's quality; raise where there are no data."""
    return AccuracyRequest(*measuring.names(settings, loaded), None, split="test")


def key(settings: Settings, loaded: Loaded) -> str:
    """Return the key of the job that measures it; "" where there are no data."""
    try:
        return key_of("accuracy", request_of(settings, loaded).to_dict())
    except PrunekitError:
        return ""


def measured(settings: Settings, loaded: Loaded) -> Evaluation | None:
    """Return the dense model's quality as it was measured or kept; None where it was not."""
    data = data_cache.data_here(settings, loaded)
    if data is None:
        return None
    images = data_cache.images_of(settings, loaded, data)
    found = None if rules.active() else _READ.get((loaded.source, images))
    if found is not None:
        return found
    name = key(settings, loaded)
    point = measuring.finished(name)
    if isinstance(point, SweepPoint):
        found = point.accuracy
    elif _rows(settings, loaded, data):  # which data these are takes longer to tell
        found = _kept(settings, loaded, data, _hash_of(images, replace(loaded.source, shape=())))
    if found is not None:
        _READ.put((loaded.source, images), found)
    return found


def _run(settings: Settings, loaded: Loaded, data: Data) -> str:
    """Return the id of the dense model's run."""
    return dense_run(measuring.model_of(loaded), measuring.weights_of(settings, loaded, form_of_data(data))).id


def _rows(settings: Settings, loaded: Loaded, data: Data) -> list[Measurement]:
    """Return what is kept that tells of the dense model on some test data; in a class where this browser asked for it."""
    home = board().store
    try:
        if home is None or not rules.submitted_here(key(settings, loaded)):
            return []
        rows = home.measurements(_run(settings, loaded, data))
    except PrunekitError:
        return []
    return [row for row in rows if row.what in (*QUALITY, SENSITIVITY) and row.split == "test" and not row.earlier]


@shared(16)
def _hash_of(images: Images, source: Source) -> str:
    """Return what measurements on the test part of some data are known by."""
    data = data_cache.data_at(images, source)
    return "" if data is None else data_cache.images_known(data.test)


def _kept(settings: Settings, loaded: Loaded, data: Data, hashed: str) -> Evaluation | None:
    """Return what the store holds."""
    home, judge = board().store, measuring.task_here(settings, loaded)
    try:
        run, versions = _run(settings, loaded, data), installed(measuring.model_of(loaded).name)
        found = None if home is None else home.quality(run, hashed, "test", len(data.test), versions, judge.headline.name)
    except PrunekitError:
        return None
    return None if found is None else replace(found, task=judge)


def figure(settings: Settings, loaded: Loaded) -> Figure | None:
    """Return the dense model's quality on test data, if it is known: by the card, or measured by whichever page."""
    card = from_card(settings, loaded)
    if card is not None:
        return card
    found = measured(settings, loaded)
    if found is None:
        return _of_fewer(settings, loaded)
    return Figure(found.value, found.low, found.high, found.n, _where(settings, loaded), found.chance, found.metric)


def _where(settings: Settings, loaded: Loaded) -> str:
    """Return what the dense model is measured on."""
    return f"test split of {data_cache.data_name(settings, loaded)}"


def _of_fewer(settings: Settings, loaded: Loaded) -> Figure | None:
    """Return what is kept on the most of the test samples: pages that measure may take fewer."""
    data = data_cache.data_here(settings, loaded)
    rows = [] if data is None else _rows(settings, loaded, data)
    if data is None or not rows:
        return None
    hashed = _hash_of(data_cache.images_of(settings, loaded, data), replace(loaded.source, shape=()))
    here = (hashed, dict(this_machine()), installed(measuring.model_of(loaded).name))
    metric = measuring.task_here(settings, loaded).headline
    rows = [row for row in rows if (row.data_hash, row.machine, row.versions) == here]
    told = [row.value["dense"] if row.what == SENSITIVITY else row.value for row in rows]
    told = [each for each in told if each.get("metric", ACCURACY.name) == metric.name]
    if not told:
        return None
    best = max(told, key=lambda each: int(each["n"]))
    low, high = (nan if best[end] is None else float(best[end]) for end in ("low", "high"))
    return Figure(float(best["value"]), low, high, int(best["n"]), _where(settings, loaded), best.get("chance"), metric)


def measure(settings: Settings, loaded: Loaded, data: Data) -> None:
    """Start measuring it; a button's callback."""
    measuring.lend(settings, loaded, data)
    title = f"{measuring.task_here(settings, loaded).headline.title} of {model_cache.title_of(loaded.source.name)}"
    measuring.ask("accuracy", request_of(settings, loaded).to_dict(), title)
