"""Where pixels are: mirrored, cropped, resized, turned and sheared images. Every one is an affine map of the image."""

from __future__ import annotations

import numpy as np

from ..._C import float32
from ...nn import functional as F
from ..ops import affine_warp
from ._base import Transform, as_values, check_number, check_pair, check_size

__all__ = [
    "CenterCrop", "RandomAffine", "RandomCrop", "RandomHorizontalFlip", "RandomResizedCrop", "RandomRotation",
    "RandomShear", "RandomVerticalFlip", "Resize",
]  # fmt: skip

MODES, BORDERS = ("bilinear", "nearest", "bicubic"), ("constant", "edge", "reflect", "symmetric")


def _among(owner, name, value, known):
    if value not in known:
        raise ValueError(f"{owner}: {name} expects one of {', '.join(map(repr, known))}, got {value!r}")
    return value


def _matrices(n):
    """The identity for every image."""
    return np.tile(np.eye(2, 3), (n, 1, 1))


class RandomHorizontalFlip(Transform):
    """Images mirrored left to right with probability ``p`` (default 0.5)."""

    _axis = 0  # of (column, row)

    def __init__(self, p: float = 0.5):
        self.p = check_number(type(self).__name__, "p", p, 0, 1)

    def apply(self, x, draws):
        flip = draws.uniform(1)[:, 0] < self.p
        m, a = _matrices(len(x)), self._axis
        m[flip, a, a], m[flip, a, 2] = -1, x.shape[2 - a] - 1
        return affine_warp(x, m, mode="nearest")


class RandomVerticalFlip(RandomHorizontalFlip):
    """Images turned upside down with probability ``p`` (default 0.5)."""

    _axis = 1


class RandomCrop(Transform):
    """A window at a random place.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    padding : int or (int, int), default 0
        Cells around the image, above and below and on both sides, that the window may reach into.
    padding_mode : {'constant', 'edge', 'reflect', 'symmetric'}
    fill : float, default 0
        Value of constant padding.
    """

    def __init__(self, size, padding=0, padding_mode: str = "constant", fill: float = 0.0):
        self.size, self.padding = check_size("RandomCrop", size), check_size("RandomCrop", padding, "padding", 0)
        self.padding_mode = _among("RandomCrop", "padding_mode", padding_mode, BORDERS)
        self.fill = check_number("RandomCrop", "fill", fill, -np.inf)

    def apply(self, x, draws):
        room = [n + 2 * p - s for n, p, s in zip(x.shape[1:3], self.padding, self.size)]
        if min(room) < 0:
            raise ValueError(
                f"RandomCrop: a window of {list(self.size)} does not fit into {list(x.shape[1:3])} with a padding of "
                f"{list(self.padding)}"
            )
        at = draws.integers(2, np.array(room) + 1) - np.array(self.padding)
        m = _matrices(len(x))
        m[:, 0, 2], m[:, 1, 2] = at[:, 1], at[:, 0]
        return affine_warp(x, m, self.size, "nearest", self.padding_mode, self.fill)


class CenterCrop(Transform):
    """The window of ``size`` (int or (height, width)) in the middle."""

    def __init__(self, size):
        self.size = check_size("CenterCrop", size)

    def apply(self, x, draws):
        (h, w), (height, width) = self.size, x.shape[1:3]
        if h > height or w > width:
            raise ValueError(f"CenterCrop: a window of {[h, w]} does not fit into {[height, width]}")
        top, left = (height - h) // 2, (width - w) // 2
        return x[:, top : top + h, left : left + w]


def _resize_matrix(boxes, size):
    """From cells of a result of ``size`` to the boxes [N, 4] (top, left, height, width) that they show."""
    m = np.zeros((len(boxes), 2, 3))
    top, left, height, width = np.asarray(boxes, np.float64).T
    m[:, 0, 0], m[:, 1, 1] = width / size[1], height / size[0]
    m[:, 0, 2], m[:, 1, 2] = left + m[:, 0, 0] / 2 - 0.5, top + m[:, 1, 1] / 2 - 0.5
    return m


class Resize(Transform):
    """Images at another resolution.

    Parameters
    ----------
    size : int or (int, int)
        (height, width), or the length of the shorter side: the other keeps the proportions.
    interpolation : {'bilinear', 'nearest', 'bicubic', 'area'}
        'area' takes means and is the one for making images much smaller; the others look at the nearest cells only.
    """

    def __init__(self, size, interpolation: str = "bilinear"):
        self.size = size if isinstance(size, int) else check_size("Resize", size)
        check_size("Resize", size)
        self.interpolation = _among("Resize", "interpolation", interpolation, (*MODES, "area"))

    def apply(self, x, draws):
        height, width = x.shape[1:3]
        size = self.size
        if isinstance(size, int):
            if 0 in (height, width):
                raise ValueError(f"Resize: nothing to resize in images of {[height, width]}")
            size = (size, size * width // height) if height <= width else (size * height // width, size)
        if self.interpolation == "area":
            return as_values(F.interpolate(x if x.dtype == float32 else x.float(), size, mode="area"), x)
        boxes = np.tile([0, 0, height, width], (len(x), 1))
        return affine_warp(x, _resize_matrix(boxes, size), size, self.interpolation, "edge")


class RandomResizedCrop(Transform):
    """A random part of the image, of random proportions, at a fixed size (the training of Inception networks).

    Parameters
    ----------
    size : int or (int, int)
    scale : (float, float), default (0.08, 1)
        Least and largest share of the image's area.
    ratio : (float, float), default (3/4, 4/3)
        Least and largest width over height; logarithms are uniform.
    interpolation : {'bilinear', 'nearest', 'bicubic'}
    """

    TRIES = 10  # of parts that may not fit; after them the largest of the nearest proportions, in the middle

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), interpolation: str = "bilinear"):
        owner = "RandomResizedCrop"
        self.size = check_size(owner, size)
        self.scale, self.ratio = check_pair(owner, "scale", scale, 1e-6, 1), check_pair(owner, "ratio", ratio, 1e-3)
        self.interpolation = _among(owner, "interpolation", interpolation, MODES)

    def apply(self, x, draws):
        n, (height, width) = len(x), x.shape[1:3]
        area = draws.uniform(self.TRIES, *self.scale) * (height * width)
        ratio = np.exp(draws.uniform(self.TRIES, *np.log(self.ratio)))
        place = draws.uniform(2)
        h, w = np.round(np.sqrt(area / ratio)), np.round(np.sqrt(area * ratio))
        fits = (h >= 1) & (w >= 1) & (h <= height) & (w <= width)
        first, rows = fits.argmax(1), np.arange(n)
        own = np.clip(width / max(height, 1), *self.ratio)
        largest = (round(min(height, width / own)), round(min(width, height * own)))
        h = np.where(fits.any(1), h[rows, first], largest[0])
        w = np.where(fits.any(1), w[rows, first], largest[1])
        place = np.where(fits.any(1)[:, None], place, 0.5)
        top, left = np.floor(place[:, 0] * (height - h + 1)), np.floor(place[:, 1] * (width - w + 1))
        m = _resize_matrix(np.stack([top, left, h, w], 1), self.size)
        return affine_warp(x, m, self.size, self.interpolation, "edge")


class RandomAffine(Transform):
    """Images turned, moved, scaled and sheared about their middle, in one step.

    Parameters
    ----------
    degrees : float or (float, float)
        Of the turn, counterclockwise: from -degrees to degrees, or from the first to the second.
    translate : (float, float), optional
        Largest move sideways and up or down, as a share of the width and the height.
    scale : (float, float), optional
        Least and largest factor.
    shear : float or (float, float), optional
        Degrees by which columns lean, as for ``degrees``.
    interpolation : {'bilinear', 'nearest', 'bicubic'}
    fill : float, default 0
    padding_mode : {'constant', 'edge', 'reflect', 'symmetric'}
        What comes into view from outside: ``fill``, or the image continued.
    """

    def __init__(self, degrees=0.0, translate=None, scale=None, shear=None, interpolation: str = "bilinear",
                 fill: float = 0.0, padding_mode: str = "constant"):  # fmt: skip
        name = type(self).__name__
        self.degrees, self.shear = self._angles("degrees", degrees), self._angles("shear", shear or 0.0, 89)
        if isinstance(translate, (tuple, list)) and len(translate) == 2:
            translate = tuple(check_number(name, "translate", t, 0, 1) for t in translate)
        elif translate is not None:
            raise ValueError(f"{name}: translate expects two shares (of the width, of the height), got {translate!r}")
        self.translate = translate
        self.scale = None if scale is None else check_pair(name, "scale", scale, 1e-6)
        self.interpolation = _among(name, "interpolation", interpolation, MODES)
        self.fill = check_number(name, "fill", fill, -np.inf)
        self.padding_mode = _among(name, "padding_mode", padding_mode, BORDERS)

    def _angles(self, what, value, limit=np.inf):
        if not isinstance(value, (tuple, list)):
            value = check_number(type(self).__name__, what, value, 0, limit)
            value = (-value, value)
        return check_pair(type(self).__name__, what, value, -limit, limit)

    def apply(self, x, draws):
        u, (height, width) = draws.uniform(5), x.shape[1:3]
        ranges = enumerate((self.degrees, self.shear))
        turn, lean = (np.deg2rad(low + u[:, k] * (high - low)) for k, (low, high) in ranges)
        low, high = self.scale or (1.0, 1.0)
        factor = low + u[:, 2] * (high - low)
        reach = self.translate or (0.0, 0.0)
        move = (2 * u[:, 3:5] - 1) * np.array(reach) * [width, height]
        # Rows grow downwards, so a counterclockwise turn is [[cos, sin], [-sin, cos]] on (column, row); the map wanted
        # goes from the result to the image: the inverse of scale, turn and shear, about the middle.
        cos, sin = np.cos(turn) * factor, np.sin(turn) * factor
        forward = np.stack([cos, sin, -sin, cos], 1).reshape(-1, 2, 2)
        forward[:, :, 1] += forward[:, :, 0] * np.tan(lean)[:, None]
        inverse = np.linalg.inv(forward)
        middle = np.array([(width - 1) / 2, (height - 1) / 2])
        m = np.concatenate([inverse, np.zeros((len(x), 2, 1))], 2)
        m[:, :, 2] = middle - np.einsum("nij,nj->ni", inverse, middle + move)
        return affine_warp(x, m, None, self.interpolation, self.padding_mode, self.fill)


class RandomRotation(RandomAffine):
    """Images turned by up to ``degrees`` (a number, or from, to), as `RandomAffine` does."""

    def __init__(self, degrees, interpolation="bilinear", fill=0.0, padding_mode="constant"):
        super().__init__(degrees, None, None, None, interpolation, fill, padding_mode)


class RandomShear(RandomAffine):
    """Images whose columns lean by up to ``shear`` degrees (a number, or from, to), as `RandomAffine` does."""

    def __init__(self, shear, interpolation="bilinear", fill=0.0, padding_mode="constant"):
        super().__init__(0.0, None, None, shear, interpolation, fill, padding_mode)
