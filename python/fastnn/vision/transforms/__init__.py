"""Images of a batch changed on their way to a network: moved, mirrored, turned, recoloured, cut, mixed.

All take and give batches ``[N, H, W, C]``, channels last, uint8 (0 to 255) or float32 (0 to 1), in kernels that run on
all threads. Names and arguments are torchvision's where it has them; every image gets random numbers of its own.

>>> augment = Compose([RandomCrop(32, padding=4), RandomHorizontalFlip(), Normalize(CIFAR10.mean, CIFAR10.std)])
>>> loader = DataLoader(CIFAR10(), 128, shuffle=True, transform=augment)

In a loader the numbers are a function of (seed, epoch, index of the image), whatever the threads, the size of the
batches or a resume in between. ``augment(images)`` alone draws from the default generator (`fastnn.manual_seed`).
"""

from ._base import Compose, RandomApply, Transform
from .color import ColorJitter, ColorShift, Normalize, PCAColor, ToFloat
from .geometry import (
    CenterCrop,
    RandomAffine,
    RandomCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    RandomRotation,
    RandomShear,
    RandomVerticalFlip,
    Resize,
)
from .mixing import Cutout, Mixup, ten_crop, ten_crop_predict

__all__ = [
    "CenterCrop", "ColorJitter", "ColorShift", "Compose", "Cutout", "Mixup", "Normalize", "PCAColor", "RandomAffine",
    "RandomApply", "RandomCrop", "RandomHorizontalFlip", "RandomResizedCrop", "RandomRotation", "RandomShear",
    "RandomVerticalFlip", "Resize", "ToFloat", "Transform", "ten_crop", "ten_crop_predict",
]  # fmt: skip
