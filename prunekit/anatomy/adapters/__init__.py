"""Modules whose Python breaks when heads or dimensions go: each is replaced by a subclass of its own class.

torchvision's and torch's attention compute the width of a head as the embedding's width over the number of heads, and the scale of
the logits from it. An adapter keeps both apart. It is a subclass, so that ``isinstance`` still holds, takes its place by ``__class__``
alone (no parameter moves, hooks stay, it pickles), and is set up by whole numbers that a folder stores.
"""

from prunekit.anatomy.adapters.heads import Heads, adapt, adapter_of, adapters, heads_of, packed_weight

__all__ = ["Heads", "adapt", "adapter_of", "adapters", "heads_of", "packed_weight"]
