"""Scores of weights and channels, kept for as many cuts as wanted; what takes long is scored as a job."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import streamlit as st

from prunekit import pruning
from prunekit.config.choices import DEFAULT_CRITERION, NEEDS_DATA, SEEDED
from prunekit.config.spec import PruneSpec
from prunekit.criteria.methods import CRITERIA
from prunekit.errors import PrunekitError
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.formatting import plural
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.pruning.unstructured.masks import Ranking
from prunekit.pruning.unstructured.n_m import PatternRanking, rank
from prunekit.ui.components import show
from prunekit.ui.shared import data_cache, measuring, model_cache
from prunekit.ui.shared.cache import LRU, shared
from prunekit.ui.shared.model_cache import NO_IMAGES, Images, Loaded, Source
from prunekit.ui.state import session

SMALL = 2_000_000  # parameters; below this whatever works on weights alone is quick enough to be there at once
PATIENCE = 1e11  # multiply-accumulates of scoring on images that a page waits for: some seconds
BACKWARD = 3  # a gradient costs about two forward passes more
HELD = LRU[Hashable, Any](48, budget=40e6, least=6)
"""Scores and the rankings made of them, each a number for every weight of a model: many small ones, or three settings of a large one."""

Ranked = Ranking | PatternRanking | ChannelRanking


@shared(12, "Finding what shrinks together, once …")
def graph(source: Source) -> pruning.ChannelGraph:
    """Return the couplings of a model's channels."""
    loaded = model_cache.load(source)
    return pruning.tried(loaded.model, pruning.trace(loaded.model, loaded.input_shape))


def immovable(source: Source, mode: str) -> Mapping[str, str] | None:
    """Return the layers no output of which can go; None where that is not known, or does not matter."""
    if mode != "structured":
        return None
    try:
        return graph(source).immovable
    except PrunekitError:
        return None


def of_images(spec: PruneSpec, images: Images) -> Images:
    """Return the images that scores depend on: none where weights alone decide."""
    return images if spec.looks_at_data else NO_IMAGES


def _plain(source: Source, spec: PruneSpec) -> PruneSpec:
    """Return what scores depend on: neither how many channels go, nor how that is shared out; but which blocks go before."""
    names = pruning.chosen_layers(model_cache.load(source).model, spec, immovable(source, spec.mode))
    looks = spec.looks_at_data
    return PruneSpec(
        mode=spec.mode,
        criterion=spec.criterion,
        layers=names,
        pattern=spec.pattern,
        seed=spec.seed if looks or spec.criterion in SEEDED else 0,
        samples=spec.samples if looks else PruneSpec.samples,
        units=spec.units,
        depth=spec.depth,
        blocks=spec.blocks,
        remove_layers=spec.remove_layers,
        rows=spec.rows,
        row_criterion=spec.row_criterion,
        row_shares=spec.row_shares,
        scope=spec.scope if spec.cuts_rows else "",
        consumers=spec.consumers,
        reduction=spec.reduction,
        normaliser=spec.normaliser,
    )


def _weight(source: Source, *_: object) -> float:
    """Return how many numbers a ranking may hold."""
    return model_cache.counts_of(source).params


def _maker(source: Source, spec: PruneSpec, images: Images) -> Callable[[], Ranked]:
    """Return what scores; caches are asked now, so that it can run in another thread."""
    model, data = model_cache.load(source).model, data_cache.data_at(images, source)
    if spec.mode == "structured":
        return partial(ChannelRanking.of, model, spec, graph(source), data)
    return partial(rank, model, spec, data)


@shared(HELD, "Scoring, once …", weigh=_weight)
def scored(source: Source, spec: PruneSpec, images: Images) -> Ranked:
    """Return the scores of a setting, without what does not change them: kept by a job where a page could not wait for them."""
    return _maker(source, spec, images)()


def is_slow(source: Source, spec: PruneSpec) -> bool:
    """Return whether scoring would keep a page waiting."""
    counts = model_cache.counts_of(source)
    passes = BACKWARD if spec.criterion in NEEDS_DATA else 1
    return spec.looks_at_data and (counts.params > SMALL or passes * counts.macs * spec.samples > PATIENCE)


@shared(HELD, "Ranking, once …", weigh=_weight)
def _ranking(source: Source, spec: PruneSpec, images: Images) -> Ranked:
    """Return the ranking of a setting at every sparsity, sorted."""
    ranking = replace(scored(source, _plain(source, spec), images), spec=spec)
    if isinstance(ranking, Ranking):
        for name in ranking.scores:
            ranking.order(name)  # sorts now rather than at the first move
    return ranking


def ranking_of(source: Source, spec: PruneSpec, images: Images = NO_IMAGES) -> Ranked:
    """Return the ranking that a setting shares with every other sparsity."""
    every = spec if spec.mode == "nm" else spec.at(0.5)
    return _ranking(source, every, of_images(spec, images))


def job_key(source: Source, spec: PruneSpec, images: Images) -> str:
    """Return the key of the job that scores."""
    return measuring.key_of("scores", source, _plain(source, spec), images)


def begin(source: Source, spec: PruneSpec, images: Images) -> None:
    """Start scoring as a job; a button's callback."""
    plain, key = _plain(source, spec), job_key(source, spec, images)
    make = _maker(source, plain, images)
    board().drop(key)  # done once, but its scores may be gone

    def work(job: Job) -> bool:
        job.progress(0.05, f"looking at {plural(spec.samples, 'image')}")
        scored.put(make(), source, plain, images)
        job.progress(1.0)
        return True

    measuring.start(key, f"{_looking(spec)} of {model_cache.title_of(source.name)}", work)


def _looking(spec: PruneSpec) -> str:
    """Return what looks at data, or else the criterion."""
    if spec.criterion in NEEDS_DATA or not spec.looks_at_data:
        return CRITERIA[spec.criterion].title
    return "Block influence" if spec.remove_layers else "Counting lookups"


def ready(loaded: Loaded, spec: PruneSpec, images: Images) -> bool:
    """Return whether a setting can be ranked now; where it cannot, show what to do."""
    title = _looking(spec)
    if not spec.looks_at_data:
        return True
    if images == NO_IMAGES:
        without_data(spec)
        return False
    if not is_slow(loaded.source, spec) or scored.known(loaded.source, _plain(loaded.source, spec), images) is not None:
        return True
    key = job_key(loaded.source, spec, images)
    job = board().get(key)
    if job is None or not job.active:
        show.empty(
            f"{title} looks at {plural(spec.samples, 'training image')} before anything can be ranked; for a model of this size that takes "
            "a while. Then every sparsity is there at once.",
            "hourglass_empty",
        )
        st.button(
            f"Score with {title}", key="score", type="primary", icon=":material/insights:", on_click=begin,
            args=(loaded.source, spec, images),
        )  # fmt: skip
    measuring.panel(key)
    return False


def without_data(spec: PruneSpec) -> None:
    """Say what a setting lacks, and what to do."""
    show.empty(
        f"{_looking(spec)} looks at training images, and there are none here: choose data on the Start page, or a setting "
        "that looks at weights alone.",
        "database_off",
    )
    plain = {"criterion": DEFAULT_CRITERION, "remove_layers": 0, "row_criterion": "norm"}
    st.button(f"Use {CRITERIA[DEFAULT_CRITERION].title}", key="use_l1", icon=":material/undo:", on_click=session.change, kwargs=plain)
