"""Data sets, loaders, splits and standardisation.

>>> loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True, seed=0)
>>> for x, y in loader:
...     ...
"""

from .dataset import ConcatDataset, Dataset, MapDataset, Subset, TensorDataset, random_split
from .loader import DataLoader, default_collate
from .sampler import RandomSampler, Sampler, SequentialSampler, WeightedRandomSampler
from .split import split_indices, train_dev_test_split, train_test_split
from .standardize import Standardizer

__all__ = [
    "ConcatDataset", "DataLoader", "Dataset", "MapDataset", "RandomSampler", "Sampler", "SequentialSampler",
    "Standardizer", "Subset", "TensorDataset", "WeightedRandomSampler", "default_collate", "random_split",
    "split_indices", "train_dev_test_split", "train_test_split",
]  # fmt: skip
