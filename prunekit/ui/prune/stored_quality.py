"""The stored quality of the setting in view beside the dense model's, on all test samples."""

from __future__ import annotations

from prunekit.config.recovery import Recovery
from prunekit.config.spec import PruneSpec
from prunekit.data.dataset import Data
from prunekit.errors import PrunekitError
from prunekit.evaluation.quality import Evaluation
from prunekit.experiments.experiment import Experiment, Keeper
from prunekit.experiments.jobs import board
from prunekit.experiments.jobs.board import key_of
from prunekit.experiments.requests import AccuracyRequest
from prunekit.experiments.run_list import pruned_run
from prunekit.ui.classroom import rules
from prunekit.ui.shared import measuring
from prunekit.ui.shared.model_cache import Loaded
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
