"""How each operation carries channels from its inputs to its output: functions marked with `rule`, in any module of this folder.

A rule sees the operation's real arguments on the meta device and looks up the variables of their axes in the tracker. An axis without
variables (``None``) is immovable. What has no rule freezes whatever it touches, visibly.
"""

from prunekit.discovery import modules_of
from prunekit.pruning.structured.axis_tracker import RULES

MODULES = tuple(module.__name__ for module in modules_of(__name__))

__all__ = ["MODULES", "RULES"]
