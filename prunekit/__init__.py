"""prunekit: prune PyTorch models, prove that the smaller model is the same function, and measure what it costs.

Names are resolved at first use, so that ``import prunekit`` and ``prunekit --help`` do not wait for torch.

Examples
--------
>>> import prunekit
>>> prunekit.PruneSpec(mode="structured", sparsity=0.5).sparsity
0.5
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "1.0.0"

if TYPE_CHECKING:
    from prunekit.config import DataId, ModelId, PruneSpec, Recipe, Recovery, Training, register_data, register_model
    from prunekit.data import load_data
    from prunekit.errors import PrunekitError
    from prunekit.evaluation import (  # type: ignore[no-redef]  # functions that share their module's name
        Evaluation,
        Progress,
        compare,
        evaluate,
        predict,
        sizes,
        sweep,
    )
    from prunekit.latency import Candidate, measure_latency
    from prunekit.models import (  # type: ignore[no-redef]  # a function that shares its module's name
        info,
        list_models,
        load_model,
        read_folder,
        remove_parametrizations,
        write_folder,
    )
    from prunekit.pruning import (
        CoupledGroup,
        PruneResult,
        agp,
        groups,
        iterative,
        linear,
        load_plugin,
        masks_at,
        prune,
        prune_indices,
        tighten,
    )
    from prunekit.training import fine_tune, prune_and_recover, recalibrate, train

_HOME = {
    "prunekit.config": ("DataId", "ModelId", "PruneSpec", "Recipe", "Recovery", "Training", "register_data", "register_model"),
    "prunekit.data": ("load_data",),
    "prunekit.errors": ("PrunekitError",),
    "prunekit.evaluation": ("Evaluation", "Progress", "compare", "evaluate", "predict", "sizes", "sweep"),
    "prunekit.latency": ("Candidate", "measure_latency"),
    "prunekit.models": ("info", "list_models", "load_model", "read_folder", "remove_parametrizations", "write_folder"),
    "prunekit.pruning": (
        "CoupledGroup",
        "PruneResult",
        "agp",
        "groups",
        "iterative",
        "linear",
        "load_plugin",
        "masks_at",
        "prune",
        "prune_indices",
        "tighten",
    ),
    "prunekit.training": ("fine_tune", "prune_and_recover", "recalibrate", "train"),
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Candidate",
    "CoupledGroup",
    "DataId",
    "Evaluation",
    "ModelId",
    "Progress",
    "PruneResult",
    "PruneSpec",
    "PrunekitError",
    "Recipe",
    "Recovery",
    "Training",
    "__version__",
    "agp",
    "compare",
    "evaluate",
    "fine_tune",
    "groups",
    "info",
    "iterative",
    "linear",
    "list_models",
    "load_data",
    "load_model",
    "load_plugin",
    "masks_at",
    "measure_latency",
    "predict",
    "prune",
    "prune_and_recover",
    "prune_indices",
    "read_folder",
    "recalibrate",
    "register_data",
    "register_model",
    "remove_parametrizations",
    "sizes",
    "sweep",
    "tighten",
    "train",
    "write_folder",
]


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives, once (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module 'prunekit' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, resolved or not."""
    return sorted({*globals(), *__all__})
