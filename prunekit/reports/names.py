"""What runs are called where the model is known: their titles without its name."""

from __future__ import annotations

from prunekit.runs.records import Run


def short_title(run: Run) -> str:
    """Return a run's title without the model's name before it, as in ``structured, l1, global, 50 %``."""
    name = str(run.model.get("name", "")).rpartition("/")[2]
    for first in (str(run.model.get("name", "")), name):
        if first and run.title.startswith(f"{first}, "):
            return run.title[len(first) + 2 :]
    return run.title
