"""Weights that others trained: SqueezeNet on ImageNet, loaded by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import _C
from .._arrays import require
from ..convert import from_torch
from ..datasets._files import find_file
from ..datasets.folder import cover, open_image
from ..io import load
from .compact import SqueezeNet

__all__ = ["IMAGENET_MEAN_BGR", "imagenet_batch", "load_squeezenet"]

IMAGENET_MEAN_BGR = (104.0, 117.0, 123.0)
_FILES = {"1.0": "squeezenet_v1_0_imagenet.npz", "1.1": "squeezenet_v1_1_imagenet_notop.npz"}


def load_squeezenet(version: str = "1.0", data_dir=None, path=None) -> SqueezeNet:
    """SqueezeNet with ImageNet weights, in evaluation mode.

    Parameters
    ----------
    version : {'1.0', '1.1'}
        1.1 has feature layers only (output ``[N, H, W, 512]``).
    data_dir : str or Path, optional
        Folder with the file of weights, or with a subfolder ``weights``. Default: FASTNN_DATA, then the cache.
    path : str or Path, optional
        The file itself, .npz or .safetensors, kernels as [out, in, height, width].

    Raises
    ------
    FileNotFoundError, KeyError, ValueError
        No file, other names, or other shapes than the network's.
    """
    if version not in _FILES:
        raise ValueError(f"load_squeezenet: expected version '1.0' or '1.1', got {version!r}")
    if path is None:
        path = find_file("SqueezeNet weights", "weights", (_FILES[version],), data_dir,
                         why_local="fastnn ships no weights")  # fmt: skip
    model = SqueezeNet(version, num_classes=1000 if version == "1.0" else 0)
    from_torch(model, load(path))
    return model.eval()


def imagenet_batch(images, size: int = 227, crop: bool = False):
    """Pictures as the published Caffe models want them: BGR, 0 to 255, less the mean of ImageNet.

    Parameters
    ----------
    images : sequence of paths, PIL images or uint8 arrays [H, W, 3], or one of them
        Colours in the usual order, red first.
    size : int, default 227
    crop : bool, default False
        Keep the proportions and cut out the middle; else the whole picture is squeezed to a square.

    Returns
    -------
    Tensor [N, size, size, 3]
    """
    Image = require("PIL.Image", "recipes", "imagenet_batch")
    if isinstance(images, (str, Path, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim == 3):
        images = [images]
    batch = np.empty((len(images), size, size, 3), np.float32)
    for i, image in enumerate(images):
        if isinstance(image, (str, Path)):
            image = open_image(image, purpose="imagenet_batch")
        elif isinstance(image, np.ndarray):
            image = Image.fromarray(image)
        image = image.convert("RGB")
        image = cover(image, (size, size)) if crop else image.resize((size, size), Image.Resampling.BILINEAR)
        batch[i] = np.asarray(image, np.float32)[:, :, ::-1]
    batch -= np.array(IMAGENET_MEAN_BGR, np.float32)
    return _C.from_numpy(batch)
