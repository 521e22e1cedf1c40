"""Modules whose Python breaks when heads or dimensions go: each is replaced by a subclass of its own class."""
