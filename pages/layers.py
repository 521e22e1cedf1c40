"""Layers: where do the weights live, and what do they look like?"""

from prunekit.ui.components import block_table, head_strips, left_out, show
from prunekit.ui.layers import PAGE, coupled_groups, graph, table
from prunekit.ui.state.current_model import model_in_use

show.heading(PAGE)
now, loaded = model_in_use()
with show.plain_errors():
    selected = table.table(now, loaded)
    with show.slot():
        left_out.of_layers(loaded)
    with show.slot():
        table.distributions(now, loaded, selected)
    with show.slot():
        head_strips.of_layers(loaded)
    with show.slot():
        coupled_groups.section(loaded)
    with show.slot():
        graph.section(now, loaded)
    block_table.section(loaded)
