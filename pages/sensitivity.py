"""Sensitivity: which layers are fragile?"""

from prunekit.ui import show

show.heading("Which layers are fragile?", "Each layer is pruned alone, ever further, and the model is measured again.")
