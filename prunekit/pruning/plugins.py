"""Criteria and operator rules of the user's own, from a file that is named: ``--plugin file.py``, or `load_plugin`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from prunekit.config.spec import PruneSpec
from prunekit.criteria.criterion import Criterion
from prunekit.criteria.methods import CRITERIA
from prunekit.errors import PluginError
from prunekit.local_code.factories import read_file
from prunekit.pruning.structured.grouping import forget
from prunekit.pruning.structured.rules import RULES

VARIABLE = "PRUNEKIT_PLUGINS"
BUILT_IN = frozenset(CRITERIA)


@dataclass(frozen=True)
class Plugin:
    """What a file added.

    Attributes
    ----------
    file : Path
        Where it lies.
    code : str
        Hash of its code, and of the local modules that it imports.
    criteria, rules : tuple of str
        Names of the criteria that it declares, and of the operations that it gives a rule.
    """

    file: Path
    code: str
    criteria: tuple[str, ...]
    rules: tuple[str, ...]


_LOADED: dict[Path, Plugin] = {}


def load_plugin(path: str | Path) -> Plugin:
    """Add the criteria and the operator rules of a file; what it says of the same names again takes their place.

    The file is your own code and runs as such. A `Criterion` in it can be chosen like any other, on the command line, in a `PruneSpec` and
    in the dashboard that is started with it; an operation with a `rule` no longer holds its channels whole. Its code is part of the
    identity of the runs that it takes part in. Processes that are started from this one load it, too.

    Parameters
    ----------
    path : str or Path
        A Python file.

    Returns
    -------
    Plugin
        What it added.

    Raises
    ------
    PluginError
        If there is no such file, it fails while it is read, adds nothing, or takes a name of prunekit's own criteria.
    """
    file, before = Path(path).expanduser().resolve(), dict(RULES)
    if not file.is_file():
        raise PluginError(f"there is no plugin {str(path)!r} (looked in {Path.cwd()}): name a Python file")
    module, code = read_file(file, PluginError)
    found = {value.name: value for value in vars(module).values() if isinstance(value, Criterion)}
    taken = sorted(BUILT_IN & found.keys())
    if taken:
        raise PluginError(f"{file} declares {', '.join(taken)}, which prunekit has itself: choose another name")
    known = _LOADED.get(file)
    rules = {name for name, function in RULES.items() if before.get(name) is not function}
    if known is not None and known.code == code:
        rules |= set(known.rules)  # it was not run again
    if not found and not rules:
        raise PluginError(f"{file} adds nothing: declare a prunekit.criteria.Criterion, or a function marked with rule('name')")
    CRITERIA.update(found)
    _LOADED[file] = Plugin(file, code, tuple(sorted(found)), tuple(sorted(rules)))
    if rules:
        forget()
    os.environ[VARIABLE] = os.pathsep.join(map(str, _LOADED))
    return _LOADED[file]


def load_named() -> None:
    """Load the plugins that the process that started this one had, once."""
    for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        if Path(name) not in _LOADED:
            load_plugin(name)


def plugin_code(spec: PruneSpec) -> list[str]:
    """Return what tells the plugins that take part in a setting from others: its criterion's, and where channels go all rules'."""
    rules = spec.mode == "structured"
    return sorted(each.code for each in _LOADED.values() if spec.criterion in each.criteria or (rules and each.rules))
