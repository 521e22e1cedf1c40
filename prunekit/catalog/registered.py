"""How `prunekit app` hands the user's own models and data to the server that it starts: one environment variable, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence

from prunekit.catalog.ids import DataId, ModelId
from prunekit.errors import PrunekitError

VARIABLE = "PRUNEKIT_REGISTER"


def to_environment(models: Sequence[ModelId], data: Sequence[DataId]) -> dict[str, str]:
    """Return what to add to the environment of the server; nothing where nothing is registered."""
    if not models and not data:
        return {}
    return {VARIABLE: json.dumps({"models": [m.to_dict() for m in models], "data": [d.to_dict() for d in data]})}


def from_environment() -> tuple[list[ModelId], list[DataId]]:
    """Return the models and data that were registered when this process was started.

    Raises
    ------
    PrunekitError
        If the variable does not hold what `to_environment` wrote.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return [], []
    try:
        told = json.loads(text)
        return [ModelId.from_dict(m) for m in told["models"]], [DataId.from_dict(d) for d in told["data"]]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise PrunekitError(
            f"the environment variable {VARIABLE} is damaged ({error}): start with prunekit app --model ... --data ..."
        ) from None
