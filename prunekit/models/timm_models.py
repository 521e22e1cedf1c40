"""timm's models: ``timm/NAME``, where the package timm is installed (the extra ``timm``)."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from torch import nn

from prunekit.config.ids import ModelId
from prunekit.errors import ModelError, closest
from prunekit.models.info import ModelInfo

PREFIX = "timm/"


def build_timm(name: str, outputs: int | None = None) -> nn.Module:
    """Return a model of timm with random weights."""
    timm = timm_package()
    short = name.removeprefix(PREFIX)
    if not timm.is_model(short):
        raise ModelError(f"timm has no model {short!r}{closest(short, timm.list_models()) or ': see timm.list_models()'}")
    options: dict[str, Any] = {} if outputs is None else {"num_classes": outputs}
    model = timm.create_model(short, pretrained=False, **options)
    if not isinstance(model, nn.Module):
        raise ModelError(f"timm built a {type(model).__name__} instead of a module")
    return model


def timm_info(model_id: ModelId, model: nn.Module) -> ModelInfo:
    """Return what timm says of a model's input."""
    told = getattr(model, "default_cfg", {})
    shape = tuple(int(side) for side in told.get("input_size", (3, 224, 224)))
    mean, std = (tuple(float(v) for v in told.get(key, value)) for key, value in (("mean", (0.5,) * 3), ("std", (0.5,) * 3)))
    return ModelInfo(model_id, (shape[0], shape[1], shape[2]), mean, std, shape[-1], None, (), None)


def timm_installed() -> bool:
    """Return whether the package is there, without importing it."""
    return find_spec("timm") is not None


@lru_cache(maxsize=1)
def timm_names() -> tuple[str, ...]:
    """Return the names of all models of timm; none where the package is not installed."""
    return tuple(timm_package().list_models()) if timm_installed() else ()


def timm_package() -> Any:
    """Return the package, which few need: it is imported when it is asked for."""
    try:
        import timm  # noqa: PLC0415
    except ImportError:
        raise ModelError("models of timm need the package timm: install prunekit[timm]") from None
    return timm
