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

__version__ = "0.4.0"

if TYPE_CHECKING:
    from prunekit.catalog import (  # type: ignore[no-redef]  # functions that share their module's name
        DataId,
        ModelId,
        info,
        list_models,
        load_data,
        load_model,
        read_folder,
        register_data,
        register_model,
        write_folder,
    )
    from prunekit.errors import PrunekitError
    from prunekit.measure import (  # type: ignore[no-redef]  # functions that share their module's name
        Accuracy,
        Candidate,
        compare,
        evaluate,
        latency,
        predict,
        sizes,
        sweep,
    )
    from prunekit.pruning import PruneResult, agp, iterative, linear, masks_at, prune, tighten
    from prunekit.recover import fine_tune, prune_and_recover, recalibrate, train
    from prunekit.recovery import Recovery, Training
    from prunekit.spec import PruneSpec, Recipe

_HOME = {
    "prunekit.catalog": (
        "DataId",
        "ModelId",
        "info",
        "list_models",
        "load_data",
        "load_model",
        "read_folder",
        "register_data",
        "register_model",
        "write_folder",
    ),
    "prunekit.errors": ("PrunekitError",),
    "prunekit.measure": ("Accuracy", "Candidate", "compare", "evaluate", "latency", "predict", "sizes", "sweep"),
    "prunekit.pruning": ("PruneResult", "agp", "iterative", "linear", "masks_at", "prune", "tighten"),
    "prunekit.recover": ("fine_tune", "prune_and_recover", "recalibrate", "train"),
    "prunekit.recovery": ("Recovery", "Training"),
    "prunekit.spec": ("PruneSpec", "Recipe"),
}
_WHERE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Accuracy",
    "Candidate",
    "DataId",
    "ModelId",
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
    "info",
    "iterative",
    "latency",
    "linear",
    "list_models",
    "load_data",
    "load_model",
    "masks_at",
    "predict",
    "prune",
    "prune_and_recover",
    "read_folder",
    "recalibrate",
    "register_data",
    "register_model",
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
