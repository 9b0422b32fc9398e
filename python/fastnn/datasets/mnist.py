"""MNIST and Fashion-MNIST: 60,000 training and 10,000 test images, 28x28 grey, ten classes."""

from __future__ import annotations

import numpy as np

from ..data import TensorDataset
from ._files import find_file
from .idx import read_idx

__all__ = ["MNIST", "FashionMNIST"]


class MNIST(TensorDataset):
    """Handwritten digits (LeCun, Cortes, Burges; CC BY-SA 3.0): images float32 in [0, 1], labels int64.

    Parameters
    ----------
    train : bool
        The 60,000 training images, else the 10,000 test images.
    data_dir : str or Path, optional
        Folder with the four IDX files (``.gz`` or unpacked), or with a subfolder ``mnist`` that holds them. Default:
        FASTNN_DATA, then the cache; see `fastnn.datasets`.
    download : bool
        Fetch missing files (checksums verified; needs pooch, in the extra ``recipes``).
    flatten : bool
        Images as ``[N, 784]`` (default) instead of ``[N, 28, 28, 1]``.

    Attributes
    ----------
    x, y : Tensor
        All images and labels.
    classes : list of str

    Raises
    ------
    FileNotFoundError
        With the paths that were tried.
    ValueError
        For a damaged file.
    """

    name, folder = "MNIST", "mnist"
    classes = [str(digit) for digit in range(10)]
    urls = ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist")
    checksums = {
        "train-images-idx3-ubyte": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte": "md5:d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte": "md5:9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte": "md5:ec29112dd5afa0611ce80d1b7f02629c",
    }

    def __init__(self, train: bool = True, data_dir=None, download: bool = True, flatten: bool = True):
        part = "train" if train else "t10k"
        images, labels = (
            read_idx(
                find_file(
                    self.name,
                    self.folder,
                    (f"{stem}.gz", stem, stem.replace("-idx", ".idx")),
                    data_dir,
                    download,
                    self.urls,
                    self.checksums[stem],
                )
            )  # fmt: skip
            for stem in (f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte")
        )
        if images.ndim != 3 or images.dtype != np.uint8 or images.shape[1:] != (28, 28):
            raise ValueError(f"{self.name}: expected uint8 images [N, 28, 28], got {images.dtype} {list(images.shape)}")
        if labels.shape != images.shape[:1]:
            raise ValueError(f"{self.name}: {len(images)} images but labels of shape {list(labels.shape)}")
        if labels.size and labels.max() >= len(self.classes):
            raise ValueError(f"{self.name}: label {labels.max()} in a set of {len(self.classes)} classes")
        x = images.astype(np.float32)
        x *= np.float32(1 / 255)
        super().__init__(x.reshape(len(x), 784) if flatten else x[..., None], labels.astype(np.int64))
        self.x, self.y = self.tensors


class FashionMNIST(MNIST):
    """Articles of clothing (Zalando Research; MIT licence), in the same form as `MNIST` and with the same arguments."""

    name, folder = "FashionMNIST", "fashion_mnist"
    classes = ["T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
    urls = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    )
    checksums = {
        "train-images-idx3-ubyte": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    }
