"""The runtimes, one module each; nothing else names them."""

from prunekit.discovery import discovered
from prunekit.runtimes.runtime import Runtime

RUNTIMES = discovered(__name__, Runtime)

__all__ = ["RUNTIMES"]
