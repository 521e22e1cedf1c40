"""Layers: where do the weights live, and what do they look like?"""

from prunekit.ui import blocks, couplings, layers, show
from prunekit.ui.current import model_in_use

show.heading(
    "Where do the weights live, and what do they look like?",
    "Which layers hold the parameters and which do the work, how their weights are distributed, and which of "
    "them can only shrink together.",
)
now, loaded = model_in_use()
with show.plain_errors():
    selected = layers.table(now, loaded)
    with show.slot():
        layers.distributions(now, loaded, selected)
    with show.slot():
        couplings.section(loaded)
    blocks.section(loaded)
