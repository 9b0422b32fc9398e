"""Sets of colour photographs: CIFAR-10, hand signs and smiling faces, images channels last."""

from __future__ import annotations

import zipfile

import numpy as np

from .._arrays import require
from ..data import TensorDataset
from ..io import load_npz
from ._files import find_file

__all__ = ["CIFAR10", "HappyHouse", "Signs"]


class _Photographs(TensorDataset):
    """uint8 images from a file, checked and scaled to float32 in [0, 1], with int64 labels."""

    size = 32
    classes: list[str] = []

    def _take(self, path, images, labels, flatten):
        s = self.size
        labels = np.asarray(labels).reshape(-1)
        if images.ndim != 4 or images.shape[1:] != (s, s, 3) or images.dtype != np.uint8:
            raise ValueError(f"{path}: expected uint8 images [N, {s}, {s}, 3], got {images.dtype} {list(images.shape)}")
        if len(labels) != len(images) or labels.dtype.kind not in "ui":
            raise ValueError(f"{path}: {len(images)} images but {labels.dtype} labels of shape {list(labels.shape)}")
        if labels.size and not 0 <= labels.min() <= labels.max() < len(self.classes):
            raise ValueError(
                f"{path}: labels from {labels.min()} to {labels.max()} in a set of {len(self.classes)} classes"
            )
        x = images.astype(np.float32)
        x *= np.float32(1 / 255)
        super().__init__(x.reshape(len(x), -1) if flatten else x, labels.astype(np.int64))
        self.x, self.y = self.tensors


def _from_npz(path):
    arrays = load_npz(path)
    missing = {"images", "labels"} - set(arrays)
    if missing:
        raise ValueError(f"{path}: has no array {sorted(missing)[0]!r}; it holds {', '.join(arrays) or 'nothing'}")
    return arrays["images"], arrays["labels"]


class CIFAR10(_Photographs):
    """CIFAR-10 (Krizhevsky 2009), 32x32 photographs of ten classes, or the part of it that a file holds.

    Parameters
    ----------
    train : bool
        The training images, else the test images.
    data_dir : str or Path, optional
        Folder with the files, or with a subfolder ``cifar10`` that holds them. Default: FASTNN_DATA, then the cache.
        They are NumPy archives with ``images`` (uint8 ``[N, 32, 32, 3]``) and ``labels``: ``cifar10_train.npz`` and
        ``cifar10_test.npz``, or the subsets ``cifar10_train_10k.npz`` and ``cifar10_test_2k.npz``.
    flatten : bool
        Images as ``[N, 3072]`` instead of ``[N, 32, 32, 3]`` (default).

    Attributes
    ----------
    x, y : Tensor
    classes : list of str

    Raises
    ------
    FileNotFoundError
        With the paths that were tried.
    ValueError
        For a damaged file.
    """

    name = "CIFAR10"
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the 50,000 training images

    def __init__(self, train: bool = True, data_dir=None, flatten: bool = False):
        names = ("cifar10_train.npz", "cifar10_train_10k.npz") if train else ("cifar10_test.npz", "cifar10_test_2k.npz")
        path = find_file(self.name, "cifar10", names, data_dir, why_local="its makers state no licence")
        self._take(path, *_from_npz(path), flatten)


class Signs(_Photographs):
    """Hands that show the digits 0 to 5, 64x64, from the course.

    Parameters
    ----------
    train : bool
        ``signs_train_jpeg.npz`` or the course's ``train_signs.h5``, else ``test_signs.h5`` (120 images, 20 a digit).
    data_dir : str or Path, optional
        Folder with the files, or with a subfolder ``course`` that holds them. Default: FASTNN_DATA, then the cache.
    flatten : bool
        Images as ``[N, 12288]`` instead of ``[N, 64, 64, 3]`` (default).

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

    name, size = "Signs", 64
    classes = ["0", "1", "2", "3", "4", "5"]

    def __init__(self, train: bool = True, data_dir=None, flatten: bool = False):
        names = ("train_signs.h5", "signs_train_jpeg.npz") if train else ("test_signs.h5",)
        path = find_file(self.name, "course", names, data_dir, why_local="the course's files have no clear licence")
        if zipfile.is_zipfile(path):
            images, labels = _from_npz(path)
        else:
            part = "train" if train else "test"
            images, labels = _from_hdf5(self.name, path, f"{part}_set_x", f"{part}_set_y")
        self._take(path, images, labels, flatten)


def _from_hdf5(name, path, *keys):
    from .cats import _read

    h5py = require("h5py", "recipes", name)
    try:
        with h5py.File(path, "r") as file:
            return [_read(file, key, path) for key in keys]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as HDF5 ({error})") from None


class HappyHouse(_Photographs):
    """Faces at a door, smiling or not, 64x64: the 128 images of ``happy_house_subset.npz``.

    Parameters
    ----------
    train : bool or None
        The first part, the last ``test_size`` images of a fixed shuffle, or all (None). The file has no split.
    data_dir : str or Path, optional
        As for `Signs`.
    test_size : int, default 32
    seed : int, default 0
        Of the split, which keeps the share of smiles.
    flatten : bool
        Images as ``[N, 12288]`` instead of ``[N, 64, 64, 3]`` (default).

    Attributes
    ----------
    x, y : Tensor
    classes : list of str

    Raises
    ------
    FileNotFoundError
        With the paths that were tried.
    ValueError
        For a damaged file, or a test size that leaves no images on one side.
    """

    name, size = "HappyHouse", 64
    classes = ["not smiling", "smiling"]

    def __init__(self, train: bool | None = True, data_dir=None, test_size: int = 32, seed: int = 0,
                 flatten: bool = False):  # fmt: skip
        from ..data import split_indices

        path = find_file(self.name, "course", ("happy_house_subset.npz",), data_dir,
                         why_local="the course's files have no clear licence")  # fmt: skip
        images, labels = _from_npz(path)
        if train is not None:
            n = len(images)
            if not 0 < test_size < n or len(labels) != n:
                raise ValueError(f"HappyHouse: test_size must leave images on both sides of {n}, got {test_size}")
            part = split_indices(n, [n - test_size, test_size], seed, stratify=labels.reshape(-1))[0 if train else 1]
            images, labels = images[part], labels.reshape(-1)[part]
        self._take(path, images, labels, flatten)
