"""The criteria, one module each; nothing else names them."""

from prunekit.criteria.criterion import Criterion
from prunekit.discovery import discovered

CRITERIA = discovered(__name__, Criterion)

__all__ = ["CRITERIA"]
