"""The dashboard's helpers: state in the address, shared caches, background work, and what the pages share on the screen."""

from pathlib import Path

MAIN = Path(__file__).with_name("main.py")

__all__ = ["MAIN"]
