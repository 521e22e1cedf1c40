"""The runtimes, one module each; nothing else names them."""

from prunekit.discovery import discovered
from prunekit.runtimes.runtime import Runtime

RUNTIMES = discovered(__name__, Runtime)
"""Every runtime by its name."""

__all__ = ["RUNTIMES"]
