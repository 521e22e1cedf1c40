"""The tasks by name."""

from __future__ import annotations

from prunekit.errors import TaskError
from prunekit.tasks.classification import AUDIO, IMAGES, TABLES, TEXT
from prunekit.tasks.detection import DETECTION
from prunekit.tasks.language_modelling import LANGUAGE
from prunekit.tasks.protocol import Task
from prunekit.tasks.recommendation import RECOMMENDATION
from prunekit.tasks.regression import REGRESSION, TABLE_REGRESSION
from prunekit.tasks.segmentation import SEGMENTATION

_ALL: tuple[Task, ...] = (IMAGES, SEGMENTATION, DETECTION, TEXT, LANGUAGE, RECOMMENDATION, AUDIO, TABLES, TABLE_REGRESSION, REGRESSION)
TASKS: dict[str, Task] = {each.name: each for each in _ALL}
"""Every task by its name."""
DEFAULT = IMAGES.name
"""The task of models and data that say nothing."""


def register(added: Task) -> Task:
    """Add a task to `TASKS` under its name, and return it.

    Raises
    ------
    TaskError
        If another task has the name.
    """
    if TASKS.setdefault(added.name, added) != added:
        raise TaskError(f"there is a task {added.name!r} already: give this one another name")
    return added


def task(name: str) -> Task:
    """Return a task by name, that of a sample with a folder of its own, or the user's own by ``path/to/file.py:task``.

    Raises
    ------
    TaskError
        If there is no such task.

    Examples
    --------
    >>> task("image-classification").unit_of_data
    'image'
    """
    if name in TASKS:
        return TASKS[name]
    from prunekit.errors import closest  # noqa: PLC0415
    from prunekit.local_code.factories import is_factory  # noqa: PLC0415 (a task's name and metrics need no torch)
    from prunekit.tasks.from_file import load_task  # noqa: PLC0415
    from sample_models import FOLDERS, in_folder  # noqa: PLC0415

    if is_factory(name := in_folder(name, "task")):
        return load_task(name)
    known = [*TASKS, *FOLDERS]
    raise TaskError(f"there is no task {name!r}{closest(name, known) or ':'} it must be {', '.join(known)} or path/to/file.py:task")
