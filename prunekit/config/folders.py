"""Where downloaded data live: ``PRUNEKIT_DATA``, or a cache folder of the user."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

VARIABLE = "PRUNEKIT_DATA"


def chosen_folder() -> Path | None:
    """Return the folder that ``PRUNEKIT_DATA`` names, None where it is not set."""
    value = os.environ.get(VARIABLE, "").strip()
    return Path(value).expanduser() if value else None


def data_folder() -> Path:
    """Return the folder for downloads; it need not exist yet."""
    return chosen_folder() or Path(platformdirs.user_cache_dir("prunekit"))
