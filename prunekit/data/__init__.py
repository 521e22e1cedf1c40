"""Data sets by name: splits, normalisation, and what their samples hold as one hash."""

from prunekit.config.ids import DATASETS
from prunekit.data.dataset import Data, Normal, Split, TensorSplit
from prunekit.data.load import load_data

__all__ = [
    "DATASETS",
    "Data",
    "Normal",
    "Split",
    "TensorSplit",
    "load_data",
]
