"""Models by name: loading, checkpoints, folders, layers, costs, and what a model answered when it was saved."""

from prunekit.models.attention.heads import Heads, adapt, adapter_of, adapters, heads_of, packed_weight
from prunekit.models.checkpoints import read_checkpoint
from prunekit.models.cost import Counts, count, layer_macs, layer_table, model_macs, nonzeros, share_of_all
from prunekit.models.entries import DESCRIPTIONS, ModelEntry, list_models, training_of
from prunekit.models.folder import read_folder, write_folder
from prunekit.models.histograms import Histogram, filter_norms, histogram
from prunekit.models.info import ModelInfo, info, input_shape_of, remember
from prunekit.models.inputs import with_side
from prunekit.models.layers import channel_layers, check_finite, prunable_layers, weight_of
from prunekit.models.load import load_model, load_upload
from prunekit.models.rebuilding import apply_widths
from prunekit.models.state import state_hash
from prunekit.models.widths import widths
from prunekit.models.wrappers import remove_parametrizations

__all__ = [
    "DESCRIPTIONS",
    "Counts",
    "Heads",
    "Histogram",
    "ModelEntry",
    "ModelInfo",
    "adapt",
    "adapter_of",
    "adapters",
    "apply_widths",
    "channel_layers",
    "check_finite",
    "count",
    "filter_norms",
    "heads_of",
    "histogram",
    "info",
    "input_shape_of",
    "layer_macs",
    "layer_table",
    "list_models",
    "load_model",
    "load_upload",
    "model_macs",
    "nonzeros",
    "packed_weight",
    "prunable_layers",
    "read_checkpoint",
    "read_folder",
    "remember",
    "remove_parametrizations",
    "share_of_all",
    "state_hash",
    "training_of",
    "weight_of",
    "widths",
    "with_side",
    "write_folder",
]
