"""Sets of colour photographs: CIFAR-10 and the course's cats, hands and faces.

All have images ``x``, float32 from 0 to 1, channels last, labels ``y`` (int64) and the names ``classes``. Their files
come from ``data_dir`` (or the subfolder named below in it), by default from FASTNN_DATA, then from the cache; they are
not downloaded. FileNotFoundError names the paths that were tried, ValueError says what is wrong in a damaged file, and
HDF5 files need h5py, which the extra ``recipes`` installs (ImportError).
"""

from __future__ import annotations

import zipfile

import numpy as np

from .._arrays import require
from ..data import TensorDataset, split_indices
from ..io import load_npz
from ._files import find_file

__all__ = ["CIFAR10", "CatNonCat", "HappyHouse", "Signs"]


class _Photographs(TensorDataset):
    """uint8 images from a file, checked and scaled to float32 in [0, 1], with int64 labels."""

    size = 32
    classes: list[str] = []

    def _find(self, folder, names, data_dir, why="the course's files have no clear licence"):
        return find_file(self.name, folder, names, data_dir, why_local=why)

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


def _from_hdf5(name, path, *keys):
    h5py = require("h5py", "recipes", name)
    try:
        with h5py.File(path, "r") as file:
            return [_read(file, key, path) for key in keys]
    except OSError as error:
        raise ValueError(f"{path}: cannot be read as HDF5 ({error})") from None


def _read(file, key, path):
    """One HDF5 array, its size bounded before it is read."""
    if key not in file or not hasattr(file[key], "shape"):
        raise ValueError(f"{path}: has no array {key!r}; it holds {', '.join(file) or 'nothing'}")
    data = file[key]
    if data.dtype.kind not in "ui" or data.nbytes > 1 << 30:
        raise ValueError(f"{path}: {key!r} is {data.dtype} of {data.nbytes} bytes, expected integers of at most 1 GiB")
    return data[...]


class CatNonCat(_Photographs):
    """Cat or not, 64x64, from the course: 209 photographs to train (72 cats), 50 to test (33 cats); label 1 is a cat.

    Parameters
    ----------
    train : bool
        ``train_catvnoncat.h5``, else ``test_catvnoncat.h5``.
    data_dir : str or Path, optional
        Subfolder ``course``.
    flatten : bool
        Images as ``[N, 12288]`` (default) instead of ``[N, 64, 64, 3]``.
    """

    name, size = "CatNonCat", 64
    classes = ["non-cat", "cat"]

    def __init__(self, train: bool = True, data_dir=None, flatten: bool = True):
        part = "train" if train else "test"
        path = self._find("course", (f"{part}_catvnoncat.h5",), data_dir)
        self._take(path, *_from_hdf5(self.name, path, f"{part}_set_x", f"{part}_set_y"), flatten)


class CIFAR10(_Photographs):
    """CIFAR-10 (Krizhevsky 2009), 32x32 photographs of ten classes, or the part of it that a file holds.

    Parameters
    ----------
    train : bool
        The training images, else the test images.
    data_dir : str or Path, optional
        Subfolder ``cifar10``. The files are NumPy archives with ``images`` (uint8 ``[N, 32, 32, 3]``) and ``labels``:
        ``cifar10_train.npz`` and ``cifar10_test.npz``, or the subsets ``cifar10_train_10k.npz`` and
        ``cifar10_test_2k.npz``.
    flatten : bool
        Images as ``[N, 3072]`` instead of ``[N, 32, 32, 3]`` (default).
    """

    name = "CIFAR10"
    classes = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)  # of the 50,000 training images

    def __init__(self, train: bool = True, data_dir=None, flatten: bool = False):
        names = ("cifar10_train.npz", "cifar10_train_10k.npz") if train else ("cifar10_test.npz", "cifar10_test_2k.npz")
        path = self._find("cifar10", names, data_dir, "its makers state no licence")
        self._take(path, *_from_npz(path), flatten)


class Signs(_Photographs):
    """Hands that show the digits 0 to 5, 64x64, from the course.

    Parameters
    ----------
    train : bool
        ``signs_train_jpeg.npz`` or the course's ``train_signs.h5``, else ``test_signs.h5`` (120 images, 20 a digit).
    data_dir : str or Path, optional
        Subfolder ``course``.
    flatten : bool
        Images as ``[N, 12288]`` instead of ``[N, 64, 64, 3]`` (default).
    """

    name, size = "Signs", 64
    classes = ["0", "1", "2", "3", "4", "5"]

    def __init__(self, train: bool = True, data_dir=None, flatten: bool = False):
        names = ("train_signs.h5", "signs_train_jpeg.npz") if train else ("test_signs.h5",)
        path = self._find("course", names, data_dir)
        if zipfile.is_zipfile(path):
            images, labels = _from_npz(path)
        else:
            part = "train" if train else "test"
            images, labels = _from_hdf5(self.name, path, f"{part}_set_x", f"{part}_set_y")
        self._take(path, images, labels, flatten)


class HappyHouse(_Photographs):
    """Faces at a door, smiling or not, 64x64: the 128 images of ``happy_house_subset.npz``.

    Parameters
    ----------
    train : bool or None
        The first part, the last ``test_size`` images of a fixed shuffle, or all (None). The file has no split.
    data_dir : str or Path, optional
        Subfolder ``course``.
    test_size : int, default 32
    seed : int, default 0
        Of the split, which keeps the share of smiles.
    flatten : bool
        Images as ``[N, 12288]`` instead of ``[N, 64, 64, 3]`` (default).
    """

    name, size = "HappyHouse", 64
    classes = ["not smiling", "smiling"]

    def __init__(self, train: bool | None = True, data_dir=None, test_size: int = 32, seed: int = 0,
                 flatten: bool = False):  # fmt: skip
        path = self._find("course", ("happy_house_subset.npz",), data_dir)
        images, labels = _from_npz(path)
        if train is not None:
            n = len(images)
            if not 0 < test_size < n or len(labels) != n:
                raise ValueError(f"HappyHouse: test_size must leave images on both sides of {n}, got {test_size}")
            part = split_indices(n, [n - test_size, test_size], seed, stratify=labels.reshape(-1))[0 if train else 1]
            images, labels = images[part], labels.reshape(-1)[part]
        self._take(path, images, labels, flatten)
