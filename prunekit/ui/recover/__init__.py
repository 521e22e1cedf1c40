"""The Recover page."""
