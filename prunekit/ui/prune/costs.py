"""What a setting costs, measured: quality before and after, and the proof. Quick ones at once, others as a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import streamlit as st

from prunekit import evaluation, pruning
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.evaluation.before_after import Assessment
from prunekit.evaluation.quality import Evaluation
from prunekit.evaluation.sizes import Sizes
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.job import Job
from prunekit.experiments.sweep_run import measure_one
from prunekit.formatting import error as small
from prunekit.formatting import percent, points
from prunekit.pruning.proof import Proof
from prunekit.pruning.result import PruneResult
from prunekit.pruning.structured.plan import Plan
from prunekit.pruning.structured.ranking import ChannelRanking
from prunekit.tasks.metrics import Proportion
from prunekit.tasks.protocol import Task
from prunekit.ui.components import show
from prunekit.ui.shared import baseline, measuring, model_cache
from prunekit.ui.shared.cache import shared
from prunekit.ui.shared.cuts import SMALL, View
from prunekit.ui.shared.model_cache import Images, Loaded, Source
from prunekit.ui.state.settings import Settings


@dataclass(frozen=True, eq=False)
class Measured:
    """What carrying out one setting gave; numbers only."""

    assessment: Assessment
    proof: Proof | None  # of the surgery

    @property
    def accuracy(self) -> tuple[Evaluation, Evaluation] | None:
        """Before and after, on the same samples."""
        before, after = self.assessment.before.accuracy, self.assessment.after.accuracy
        return None if before is None or after is None else (before, after)

    @property
    def sizes(self) -> tuple[Sizes, Sizes]:
        """Before and after."""
        return self.assessment.before.sizes, self.assessment.after.sizes


def is_small(loaded: Loaded) -> bool:
    """Return whether sizes and proofs are quick enough to be there at once."""
    return model_cache.counts_of(loaded.source).params <= SMALL


def maker(loaded: Loaded, view: View) -> Callable[[], PruneResult]:
    """Return what makes the pruned model, proved where channels leave; it can run in another thread."""
    if isinstance(view.cut, Plan):
        return partial(pruning.carry_out, loaded.model, view.cut, view.spec)
    assert not isinstance(view.ranking, ChannelRanking)
    return partial(pruning.mask, loaded.model, view.ranking, view.spec, loaded.input_shape)


@shared(64)
def exact(source: Source, spec: PruneSpec, images: Images, _view: View) -> Measured:
    """Return sizes and proof of a small model, without accuracy; the view is that of the setting, which alone tells results apart."""
    loaded = model_cache.load(source)
    result = maker(loaded, _view)()
    return Measured(evaluation.assess(loaded.model, result, known=_dense_sizes(source)), result.proof)


@shared(32)
def _dense_sizes(source: Source) -> Sizes:
    """Return the sizes of a small dense model, the same at every setting."""
    return evaluation.sizes(model_cache.load(source).model)


def quality_key(now: Settings, loaded: Loaded, spec: PruneSpec) -> str:
    """Return the key of a quality before and after."""
    return measuring.key_of("assess", *measuring.of_data(now, loaded), spec)


def sizes_key(loaded: Loaded, view: View, *, exact: bool = False) -> str:
    """Return the key of sizes and proof of a big model, its gzipped sizes estimated or exact."""
    return measuring.key_of("exact" if exact else "sizes", loaded.source, view.spec, view.images)


def measured(now: Settings, loaded: Loaded, spec: PruneSpec) -> Measured | None:
    """Return what has been measured with this setting, if anything."""
    found = measuring.finished(quality_key(now, loaded, spec))
    return found if isinstance(found, Measured) else None


def known(now: Settings, loaded: Loaded, view: View) -> Measured | None:
    """Return sizes and proof where they are known or quick."""
    exactly, about = (measuring.finished(sizes_key(loaded, view, exact=exactly)) for exactly in (True, False))
    for found in (exactly, measured(now, loaded, view.spec), about):
        if isinstance(found, Measured):
            return found
    return exact(loaded.source, view.spec, view.images, view) if is_small(loaded) else None


def begin(now: Settings, loaded: Loaded, view: View, data: Data | None, exactly: bool = False) -> None:
    """Start measuring a setting: with data its quality, without its sizes and proof; a button's callback."""
    known = baseline.measured(now, loaded) if data is not None else None
    asked = baseline.request_of(now, loaded) if data is not None else None
    make = maker(loaded, view)

    def work(job: Job) -> Measured:
        dense = known
        if asked is not None and dense is None:  # kept, so that it reads the same wherever it stands
            dense = measure_one(asked, job.store, job.progress.part(0.0, 0.3), model=loaded.model, data=data).accuracy
        job.progress(0.3, "pruning a copy")
        result = make()
        split = None if data is None else data.test
        found = evaluation.assess(loaded.model, result, split, exact=exactly, baseline=dense, progress=job.progress.part(0.3, 1.0))
        return Measured(found, result.proof)

    name = f"{model_cache.title_of(loaded.source.name)}, {view.spec.pattern or view.spec.mode}, {percent(view.spec.sparsity or 0)}"
    if data is None:
        measuring.start(sizes_key(loaded, view, exact=exactly), f"{'Exact sizes' if exactly else 'Sizes and proof'}: {name}", work)
    else:
        measuring.start(quality_key(now, loaded, view.spec), f"{measuring.task_here(now, loaded).headline.title}: {name}", work)


def qualities(now: Settings, loaded: Loaded, spec: PruneSpec, data: Data | None) -> tuple[Evaluation, Evaluation] | None:
    """Return the quality before and after on the same test images: measured here, or kept when a run was saved."""
    found = measured(now, loaded, spec)
    return found.accuracy if found is not None and found.accuracy is not None else baseline.qualities(now, loaded, spec, data)


def button(now: Settings, loaded: Loaded, view: View | None, data: Data | None, judged: tuple[Evaluation, Evaluation] | None) -> None:
    """Show the button that measures quality."""
    task = measuring.task_here(now, loaded)
    job = board().get(quality_key(now, loaded, view.spec)) if view is not None else None
    done, busy = judged is not None, job is not None and job.active
    st.button(
        f"{task.headline.title} measured" if done else f"Measure {task.headline.phrase}", key="measure", type="primary",
        disabled=view is None or data is None or done or busy,
        icon=":material/check:" if done else ":material/speed:", on_click=begin, args=(now, loaded, view, data),
        help="This model has no data here." if data is None
        else f"Dense and pruned on the same {len(data.test):,} test {task.units_of_data}.",
    )  # fmt: skip


def verdict(before: Evaluation, after: Evaluation, task: Task) -> None:
    """Say what pruning did to quality, in one sentence."""
    gap, metric = evaluation.compare(before, after), after.metric
    if not isinstance(metric, Proportion):
        low = metric.format_difference(gap.low).removesuffix(" points")
        change = f"{metric.format_difference(gap.value)} (95\u202f% interval {low} to {metric.format_difference(gap.high)})"
        text = f"**No significant difference**: {before.text()} dense, {after.text()} pruned, {change}."
        if gap.significant:
            worse = "worse" if metric.lost(gap).value > 0 else "better"
            text = f"**{metric.title} got {worse}**, from {before.text()} to {after.text()}: {change}."
        st.markdown(f"{text} Paired on the same {gap.n:,} test {task.units_of_data}, by the bootstrap. {show.tag('measured')}")
        return
    change = f"{points(gap.value)} points (95\u202f% interval {points(gap.low)} to {points(gap.high)})"
    if not gap.significant:
        text = f"**No significant difference**: {percent(before.value)} dense, {percent(after.value)} pruned, {change}."
    else:
        text = f"**{metric.title} {'fell' if gap.value < 0 else 'rose'}** from {percent(before.value)} to {percent(after.value)}: {change}."
    st.markdown(f"{text} Paired on the same {gap.n:,} test {task.units_of_data}, McNemar {_p(gap.p_value)}. {show.tag('measured')}")


def _p(value: float) -> str:
    """Return a p-value as people write it."""
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def proof(now: Settings, loaded: Loaded, view: View, found: Measured | None) -> None:
    """Show that removing is the same as zeroing, or how to have it shown."""
    show.section("Is the smaller model the same function?")
    if view.what == "weights":
        st.markdown("Nothing has to be proved: zeroed weights stay in place, and the network computes with them as before.")
    elif isinstance(view.cut, Plan) and view.cut.empty:
        show.empty("No channel is removed at this setting: move the slider, and what leaves will be proved here.")
    elif found is not None and found.proof is not None:
        _proved(found.proof, view.cut)
    else:
        st.markdown(
            "Removing these channels must give what zeroing them in the dense model gives. For a model of this "
            "size that takes some seconds."
        )
    key = sizes_key(loaded, view)
    if (found is None and (job := board().get(key)) is None) or (found is None and job is not None and not job.active):
        st.button(
            "Prove it and measure sizes" if view.what == "channels" else "Measure sizes",
            key="exact", icon=":material/verified:",
            on_click=begin, args=(now, loaded, view, None),
        )  # fmt: skip
    measuring.panel(key)


def _proved(result: Proof, cut: Any) -> None:
    """Show the numbers of a proof."""
    rows = isinstance(cut, Plan) and bool(cut.rows)
    parts = [] if isinstance(cut, Plan) and rows and not (cut.atoms.size or cut.blocks) else ["exactly these channels are zero"]
    parts += ["exactly these rows hold the shared one"] if rows else []
    title = "Removing = sharing" if rows and len(parts) == 1 else "Removing = zeroing"
    mark = "✓ " if result.passed else "✗ "
    st.markdown(
        f":green[{mark}] **{title}**: largest relative error {small(result.max_relative_error)} "
        "(allowed 1e-4), while pruning moved the "
        f"output by {percent(result.output_change, 0)}. {show.tag('measured')}"
    )
    forms = f", in other forms of input too ({', '.join(result.forms)})" if result.forms else ""
    st.caption(
        "Measured on a copy whose every weight and statistic is random, with random input: the smaller model "
        f"against the dense one in which {' and '.join(parts)}{forms}. "
        "A smaller model that fails this is never handed out."
    )
