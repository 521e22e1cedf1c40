"""The criteria, one module each; nothing else names them."""

from prunekit.criteria.criterion import Criterion
from prunekit.discovery import discovered

CRITERIA = discovered(__name__, Criterion)
"""Every criterion by its name."""

__all__ = ["CRITERIA"]
