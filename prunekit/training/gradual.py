"""From a dense model to a pruned and recovered one: cut once, or cut and fine-tune in turns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.models.cost import count
from prunekit.models.entries import training_of
from prunekit.models.info import info, remember
from prunekit.pruning.api import prune, sample_shape
from prunekit.pruning.result import PruneResult
from prunekit.tracking import Logged, LogTo, tracked
from prunekit.training.batchnorm import NONE_LEFT, norms_left, norms_of, recalibrate
from prunekit.training.fine_tuning import Tuner
from prunekit.training.images import training_split
from prunekit.training.preparation import prepared
from prunekit.training.pruning_steps import Cut, cutter, settings_of
from prunekit.training.recipes import rates_of, steps_of
from prunekit.training.result import Recovered
from prunekit.training.trainer import Report

MOST_POINTS = 40  # drawn for each epoch


@dataclass(frozen=True)
class Moment:
    """One moment of a recovery."""

    epoch: float  # epochs of fine-tuning that went before
    sparsity: float  # share removed by then
    lr: float  # learning rate of the step that follows


def planned(model: nn.Module, spec: PruneSpec, recovery: Recovery, images: int) -> list[Moment]:
    """Return the moments of a recovery in order of time."""
    settings, recipe, steps = settings_of(spec, recovery), training_of(model), steps_of(images, recovery.batch_size)
    found, begin = list[Moment](), 0
    stride = max(1, steps // MOST_POINTS)
    for setting, epochs in zip(settings, recovery.shares(), strict=True):
        share = float(setting.sparsity or 0.0)
        rates = rates_of(recovery, epochs, steps, recipe)
        found += [Moment(begin + step / steps, share, rate) for step, rate in list(enumerate(rates))[::stride]]
        begin += epochs
        if rates:
            found.append(Moment(float(begin), share, rates[-1]))
    return found


def recover(
    model: nn.Module,
    spec: PruneSpec,
    recovery: Recovery,
    data: Any = None,
    *,
    input_shape: tuple[int, ...] | None = None,
    report: Report | None = None,
    progress: Progress | Tell = QUIET,
    consume: bool = False,
    log_to: LogTo = None,
) -> Recovered:
    """Prune a dense model and bring its accuracy back.

    One-shot: one cut, then recalibration, then fine-tuning. Gradual: the cuts rise along the schedule, each scored on the weights as they
    are by then and followed by its share of the epochs; recalibration comes once, after the last cut, and is left out with a note where
    the blocks that went took every BatchNorm along. Masks only ever grow and surgery only ever removes more; shares always count against
    the dense model.

    Parameters
    ----------
    model : nn.Module
        The dense model; not modified unless it is to be consumed.
    spec : PruneSpec
        What to remove, in any mode; a schedule needs a sparsity to rise to.
    recovery : Recovery
        What to do after pruning; ``Recovery()`` prunes alone.
    data : Data, optional
        Scores, statistics and fine-tuning use its training part, the choice of an epoch its validation part, nothing its test part.
    input_shape : tuple of int, optional
        Shape of one sample, where there are no data.
    report : callable, optional
        Gets an :class:`Epoch` as each ends.
    progress : Progress, optional
        Told how far the work is; cancelled, it stops before the next batch.
    consume : bool
        As for :func:`prunekit.prune`, where nothing follows the cut; a recovery keeps the dense model.
    log_to : Tracker or str, optional
        Told both settings, each epoch and the counts, as for :func:`prunekit.prune`.

    Returns
    -------
    Recovered
        With what the last cut left, for comparison.

    Raises
    ------
    RecoveryError, DataError
        If the recovery asks for what there is not; before any work.
    PruningError, ProofError
        As for :func:`prunekit.prune`.
    Cancelled
        If ``progress`` was cancelled.

    Examples
    --------
    >>> import prunekit
    >>> model, data = prunekit.load_model("digits_cnn"), prunekit.load_data("digits")
    >>> spec = prunekit.PruneSpec(mode="structured", sparsity=0.6)
    >>> found = recover(model, spec, Recovery(epochs=2, schedule="agp", steps=2), data)
    >>> [round(epoch.sparsity, 2) for epoch in found.history]
    [0.52, 0.6]
    """
    progress = Progress.of(progress)
    with tracked(log_to, f"{spec.mode} {spec.criterion}", progress.warn) as logged:
        logged.params({"spec": spec.to_dict(), **({"recovery": recovery.to_dict()} if recovery.active else {})})
        if not recovery.active:
            found = Recovered(_known(prune(model, spec, data, input_shape=input_shape, consume=consume), model), recovery)
        else:
            found = _carried_out(model, spec, recovery, data, input_shape, report, progress, logged)
        logged.metrics(found.result.figures(), len(found.history))
    return found


def _carried_out(  # noqa: PLR0917 (what `recover` takes)
    model: nn.Module, spec: PruneSpec, recovery: Recovery, data: Any, input_shape: tuple[int, ...] | None, report: Report | None,
    progress: Progress, logged: Logged,
) -> Recovered:  # fmt: skip
    """Cut and train in turns."""
    if recovery.recalibrate:
        norms_of(model)
    settings = settings_of(spec, recovery)
    split = training_split(data) if recovery.learns else ()
    tuner = Tuner.of(recovery, data, model) if recovery.epochs else None
    shape, dense, whole = sample_shape(model, data, input_shape), model, progress
    if recovery.prepare != "none":
        share = recovery.prepare_epochs / (recovery.prepare_epochs + recovery.epochs + 1)
        ready = prepared(model, spec, recovery, data, shape, progress=progress.part(0.0, share))
        model, progress = _known_model(ready.model, model), whole.part(share, 1.0)
    cut = cutter(model, spec, recovery, data, shape)
    # a forward pass is about a third of a training step; without any epochs recalibration is the whole work
    pass_ = recovery.recalibrate * min(recovery.images / max(len(split), 1), 1.0) / 3
    work = _Work(model, recovery, data, tuner, report if tuner is None else tuner.telling(logged, report), progress, pass_)
    found = work.carry_out(cut, settings)
    return found if model is dense else found.noting(*ready.notes, *filter(None, [ready.stopped]))


def _known_model(model: nn.Module, dense: nn.Module) -> nn.Module:
    """Note beside a trained copy what is known of the model that it was made of."""
    remember(model, info(dense))
    return model


def _known(result: PruneResult, model: nn.Module) -> PruneResult:
    """Note beside the pruned model what is known of the dense one: how its images are prepared and how it was trained."""
    remember(result.model, info(model))
    return result


@dataclass(frozen=True, eq=False)
class _Work:
    """One recovery with everything that it needs; ``extra`` is what recalibration takes, in epochs."""

    dense: nn.Module
    recovery: Recovery
    data: Any
    tuner: Tuner | None
    report: Report | None
    progress: Progress
    extra: float

    def part(self, begin: float, length: float) -> Progress:
        """Return the progress of a part of the work, told in epochs."""
        total = self.recovery.epochs + self.extra or 1.0  # cuts alone take no epochs
        return self.progress.part(begin / total, (begin + length) / total)

    def carry_out(self, cut: Cut, settings: tuple[PruneSpec, ...]) -> Recovered:
        """Cut and train in turns."""
        now, found, done = self.dense, None, 0
        for setting, epochs in zip(settings, self.recovery.shares(), strict=True):
            self.progress.check()
            result = cut(now, setting)
            found = replace(found or Recovered(result, self.recovery), result=result)
            if setting is settings[-1]:
                found = self._recalibrated(found, done)
            found = self._tuned(found, epochs, done)
            now, done = found.model, done + epochs
        assert found is not None
        after = count(found.model, found.result.input_shape)
        return replace(found, result=_known(replace(found.result, spec=settings[-1], after=after), self.dense))

    def _recalibrated(self, found: Recovered, done: int) -> Recovered:
        """Keep what the last cut left, and measure the statistics of its norms again where that is asked for."""
        found = replace(found, before=found.model)
        if not self.recovery.recalibrate:
            return found
        if not norms_left(found.model):
            return found.noting(NONE_LEFT)
        setting = self.recovery
        fresh = recalibrate(
            found.model, self.data, images=setting.images, augment=setting.augment, dense=self.dense, seed=setting.seed,
            progress=self.part(done, self.extra),
        )  # fmt: skip
        return replace(found, recalibrated=fresh, result=replace(found.result, model=fresh))

    def _tuned(self, found: Recovered, epochs: int, done: int) -> Recovered:
        """Fine-tune after one cut; once training has gone astray, the cuts that follow are made on what was kept."""
        if self.tuner is None or not epochs or found.stopped:
            return found
        result = found.result
        course = self.tuner.course(epochs, done, result.achieved.sparsity)
        part = self.part(done + (0.0 if found.before is None else self.extra), epochs)
        tuned = self.tuner.run(result.model, course, result.masks, report=self.report, progress=part)
        found = replace(found, result=replace(result, model=tuned.model), history=(*found.history, *tuned.history))
        return replace(found, best=tuned.best, stopped=tuned.stopped).noting(*tuned.notes)
