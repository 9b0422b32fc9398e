"""Data sets, loaders, splits, standardisation, whitening and mixing.

>>> loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True, seed=0)
>>> for x, y in loader:
...     ...
"""

from ._random import Draws
from .dataset import ConcatDataset, Dataset, MapDataset, Subset, TensorDataset, random_split
from .loader import DataLoader, default_collate
from .mixing import NoiseMixer, mix_at_snr, on_backgrounds, random_crops
from .sampler import RandomSampler, Sampler, SequentialSampler, WeightedRandomSampler
from .split import SourceSplit, split_by_source, split_indices, split_sizes, train_dev_test_split, train_test_split
from .standardize import Standardizer
from .whiten import Whitener

__all__ = [
    "ConcatDataset", "DataLoader", "Dataset", "Draws", "MapDataset", "NoiseMixer", "RandomSampler", "Sampler",
    "SequentialSampler", "SourceSplit", "Standardizer", "Subset", "TensorDataset", "WeightedRandomSampler", "Whitener",
    "default_collate", "mix_at_snr", "on_backgrounds", "random_crops", "random_split", "split_by_source",
    "split_indices", "split_sizes", "train_dev_test_split", "train_test_split",
]  # fmt: skip
