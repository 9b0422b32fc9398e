"""Cat or not: the 64x64 colour photographs of the course, 209 for training and 50 for testing, from HDF5."""

from __future__ import annotations

import numpy as np

from .._arrays import require
from ..data import TensorDataset
from ._files import find_file

__all__ = ["CatNonCat"]


class CatNonCat(TensorDataset):
    """Cat / non-cat images: float32 in [0, 1], labels int64 with 1 = cat.

    Parameters
    ----------
    train : bool
        The 209 training images (72 cats), else the 50 test images (33 cats).
    data_dir : str or Path, optional
        Folder with ``train_catvnoncat.h5`` and ``test_catvnoncat.h5``, or with a subfolder ``course`` that holds them.
        Default: FASTNN_DATA, then the cache. The files have no clear licence, so fastnn does not download them.
    flatten : bool
        Images as ``[N, 12288]`` (default) instead of ``[N, 64, 64, 3]``.

    Attributes
    ----------
    x, y : Tensor
    classes : list of str

    Raises
    ------
    FileNotFoundError
        With the paths that were tried.
    ImportError
        Without h5py, which the extra ``recipes`` installs.
    ValueError
        For a damaged file.
    """

    name = "CatNonCat"
    classes = ["non-cat", "cat"]

    def __init__(self, train: bool = True, data_dir=None, flatten: bool = True):
        part = "train" if train else "test"
        path = find_file(self.name, "course", (f"{part}_catvnoncat.h5",), data_dir,
                         why_local="the course's files have no clear licence")  # fmt: skip
        h5py = require("h5py", "recipes", self.name)
        try:
            with h5py.File(path, "r") as file:
                images, labels = _read(file, f"{part}_set_x", path), _read(file, f"{part}_set_y", path)
        except OSError as error:
            raise ValueError(f"{path}: cannot be read as HDF5 ({error})") from None
        labels = labels.reshape(-1)
        if images.shape[1:] != (64, 64, 3) or images.dtype != np.uint8:
            raise ValueError(f"{path}: expected uint8 images [N, 64, 64, 3], got {images.dtype} {list(images.shape)}")
        if len(labels) != len(images) or not np.isin(labels, (0, 1)).all():
            raise ValueError(f"{path}: expected {len(images)} labels of 0 or 1, got shape {list(labels.shape)}")
        x = images.astype(np.float32) / np.float32(255)
        super().__init__(x.reshape(len(x), -1) if flatten else x, labels.astype(np.int64))
        self.x, self.y = self.tensors


def _read(file, key, path):
    """One HDF5 array, its size bounded before it is read."""
    if key not in file or not hasattr(file[key], "shape"):
        raise ValueError(f"{path}: has no array {key!r}; it holds {', '.join(file) or 'nothing'}")
    data = file[key]
    if data.dtype.kind not in "ui" or data.nbytes > 1 << 30:
        raise ValueError(f"{path}: {key!r} is {data.dtype} of {data.nbytes} bytes, expected integers of at most 1 GiB")
    return data[...]
