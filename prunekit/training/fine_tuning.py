"""Fine-tuning: what a `Recovery` asks for, on a pruned copy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from prunekit.config.recovery import Recovery
from prunekit.errors import RecoveryError
from prunekit.evaluation.progress import QUIET, Progress, Tell
from prunekit.models.entries import moves_of, training_of
from prunekit.models.layers import prunable_layers
from prunekit.models.meta_copy import check_plain, copied
from prunekit.models.running import task_of
from prunekit.pruning.influence import check_influence
from prunekit.tasks.protocol import Task
from prunekit.tracking import Logged, LogTo, tracked
from prunekit.training.images import Augmentation, TrainingSamples, training_split
from prunekit.training.recipes import Course, rates_of, steps_of
from prunekit.training.result import Epoch, Tuned
from prunekit.training.trainer import Report, fit
from sample_models.recipes import Teaching, TrainRecipe

PLAIN = "how this model was trained is not known: its images are not shifted or mirrored"


@dataclass(frozen=True, eq=False)
class Tuner:
    """A recovery with the images, the teacher and the recipe that it needs: made once for all steps of a schedule."""

    recovery: Recovery
    images: TrainingSamples  # what is learned from
    validation: Any  # what the epoch is chosen by
    recipe: TrainRecipe | None  # how the model was trained
    moves: tuple[int, bool] | None  # how far its pictures were shifted then, and whether mirrored
    teacher: nn.Module | None  # an own copy of the dense model, where its predictions are learned from
    task: Task  # whose loss is made small, and whose headline metric chooses the epoch

    @classmethod
    def of(cls, recovery: Recovery, data: Any, dense: nn.Module | None, *others: nn.Module) -> Tuner:
        """Gather what fine-tuning needs; everything that can be refused is refused here, before any work."""
        recipe = training_of(*others, dense)
        for epochs in set(recovery.shares()):
            rates_of(recovery, epochs, 1, recipe)
        if recovery.distill and dense is None:
            raise RecoveryError("distillation learns from the dense model: pass it as teacher, or set distill to 0")
        split = training_split(data, recovery.train_images)
        teacher = _teacher(dense) if recovery.distill and dense is not None else None
        known = dense if dense is not None else others[-1] if others else None
        images, validation, moves = TrainingSamples.of(split), getattr(data, "validation", None), moves_of(*others, dense)
        return cls(recovery, images, validation, recipe, moves, teacher, task_of(known, data))

    def course(self, epochs: int, first: int = 0, sparsity: float = 0.0) -> Course:
        """Return how some epochs are trained."""
        setting, steps = self.recovery, steps_of(len(self.images), self.recovery.batch_size)
        return Course(
            epochs=epochs,
            batch_size=setting.batch_size,
            rates=rates_of(setting, epochs, steps, self.recipe),
            optimizer=setting.optimizer,
            momentum=setting.momentum,
            weight_decay=setting.weight_decay,
            augmentation=self.augmentation,
            teacher=self.teacher,
            teaching=Teaching((), temperature=setting.temperature, share=setting.distill) if self.teacher is not None else None,
            seed=setting.seed,
            task=self.task,
            first=first,
            sparsity=sparsity,
        )

    @property
    def augmentation(self) -> Augmentation:
        """How the images are moved: as in the model's own training."""
        return Augmentation(*(self.moves or ())) if self.recovery.augment else Augmentation()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the augmentation."""
        return (PLAIN,) if self.recovery.augment and self.moves is None and self.images.are_images else ()

    def telling(self, logged: Logged, report: Report | None) -> Report:
        """Return what tells a tracker of each epoch, too."""

        def tell(epoch: Epoch) -> None:
            logged.metrics(epoch.figures(self.task.headline.name), epoch.number)
            if report is not None:
                report(epoch)

        return tell

    def run(
        self,
        model: nn.Module,
        course: Course,
        masks: Mapping[str, Tensor] | None = None,
        *,
        report: Report | None = None,
        progress: Progress = QUIET,
    ) -> Tuned:
        """Train a copy of a model."""
        check_influence(model, prunable_layers(model), None, self.images.take(torch.arange(min(2, len(self.images)))))
        hooks: dict[str, Any] = {"report": report, "progress": progress}
        tuned = fit(_own(model), self.images, course, masks=masks, validation=self.validation, **hooks)
        return replace(tuned, notes=(*self.notes, *tuned.notes))


def _own(model: nn.Module) -> nn.Module:
    """Return a copy that may be trained."""
    check_plain(model)
    with torch.inference_mode(False):
        return copied(model)


def _teacher(dense: nn.Module) -> nn.Module:
    """Return a copy of the dense model to ask, in the memory format of training."""
    flat = any(isinstance(module, nn.Conv2d) for module in dense.modules())
    return _own(dense).eval().requires_grad_(False).to(memory_format=torch.channels_last if flat else torch.contiguous_format)


def fine_tune(
    model: nn.Module,
    data: Any,
    recovery: Recovery,
    *,
    masks: Mapping[str, Tensor] | None = None,
    teacher: nn.Module | None = None,
    report: Report | None = None,
    progress: Progress | Tell = QUIET,
    log_to: LogTo = None,
) -> Tuned:
    """Train a pruned model further on the training part of its data.

    Parameters
    ----------
    model : nn.Module
        Pruned by masks or by surgery; not modified.
    data : Data
        Its training part is learned from; its validation part chooses the epoch.
    recovery : Recovery
        Epochs, optimizer, learning rate, augmentation, distillation and seed; what it says of pruning and recalibration is not looked at.
    masks : mapping of str to BoolTensor, optional
        As :func:`prunekit.prune` gives them: weights where a mask is False are exactly zero after every step, whatever the optimizer.
    teacher : nn.Module, optional
        The dense model: its predictions are learned from under ``distill``, and its card tells augmentation and training schedule
        where the pruned copy has none.
    report : callable, optional
        Gets an :class:`Epoch` as each ends.
    progress : Progress, optional
        Told how far the work is; cancelled, it stops before the next batch.
    log_to : Tracker or str, optional
        Told the setting and each epoch, as for :func:`prunekit.prune`.

    Returns
    -------
    Tuned
        The best epoch on the validation part, of equal ones the later; without a validation part the last. The same seed and number of
        threads give the same bits.

    Raises
    ------
    DataError
        If there are no training images, or none of some class.
    RecoveryError
        If the setting asks for what there is not: a teacher, or a training schedule to rewind to.
    Cancelled
        If ``progress`` was cancelled.

    Examples
    --------
    >>> import prunekit
    >>> model, data = prunekit.load_model("digits_mlp"), prunekit.load_data("digits")
    >>> pruned = prunekit.prune(model, prunekit.PruneSpec(sparsity=0.9))
    >>> tuned = fine_tune(pruned.model, data, Recovery(epochs=2), masks=pruned.masks, teacher=model)
    >>> len(tuned.history)
    2
    """
    progress = Progress.of(progress)
    tuner = Tuner.of(replace(recovery, schedule="one-shot", steps=1), data, teacher, model)
    with tracked(log_to, "fine-tuning", progress.warn) as logged:
        logged.params({"recovery": recovery.to_dict()})
        return tuner.run(model, tuner.course(recovery.epochs), masks, report=tuner.telling(logged, report), progress=progress)
