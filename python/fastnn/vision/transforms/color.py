"""What colour pixels have: shifted, jittered, along the main directions of the colours, normalised."""

from __future__ import annotations

import numpy as np

from ..._arrays import to_numpy
from ..._C import bmm, float32
from ._base import Transform, as_values, check_number, check_pair, per_image

__all__ = ["ColorJitter", "ColorShift", "Normalize", "PCAColor", "ToFloat"]

LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601: how bright red, green and blue look
# To luma and two differences of colours and back; a change of hue turns the differences.
YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])


def _floats(x):
    return x if x.dtype == float32 else x.float()


class ToFloat(Transform):
    """uint8 images from 0 to 255 as float32 from 0 to 1; float32 images as they are."""

    def apply(self, x, draws):
        return x if x.dtype == float32 else x.float() * (1 / 255)


class Normalize(Transform):
    """(x - mean) / std for each channel, as float32; uint8 images are scaled to 0..1 first.

    Parameters
    ----------
    mean, std : number or sequence of C numbers
        Of images from 0 to 1.
    """

    def __init__(self, mean, std):
        self.mean, self.std = (np.atleast_1d(np.asarray(to_numpy(a), np.float64)) for a in (mean, std))
        for name, a in (("mean", self.mean), ("std", self.std)):
            if a.ndim != 1 or not np.isfinite(a).all():
                raise ValueError(f"Normalize: {name} expects finite numbers, one a channel, got {a.tolist()}")
        if (self.std <= 0).any():
            raise ValueError(f"Normalize: std expects positive numbers, got {self.std.tolist()}")

    def apply(self, x, draws):
        for name, a in (("mean", self.mean), ("std", self.std)):
            if len(a) not in (1, x.shape[3]):
                raise ValueError(f"Normalize: {name} has {len(a)} numbers, the images {x.shape[3]} channels")
        top = 1.0 if x.dtype == float32 else 255.0
        return (_floats(x) - per_image(self.mean * top, x)) / per_image(self.std * top, x)


class ColorShift(Transform):
    """A random number added to each channel, another for each image (sunlight, a yellow lamp).

    Parameters
    ----------
    amount : float or sequence of C floats
        Largest shift up or down, as a share of the range of values: 0.08 is 20 of 255.
    """

    def __init__(self, amount=0.08):
        self.amount = np.atleast_1d(np.asarray(amount, np.float64))
        if self.amount.ndim != 1 or not ((self.amount >= 0) & (self.amount <= 1)).all():
            raise ValueError(f"ColorShift: amount expects numbers from 0 to 1, got {amount!r}")

    def apply(self, x, draws):
        c = x.shape[3]
        if len(self.amount) not in (1, c):
            raise ValueError(f"ColorShift: amount has {len(self.amount)} numbers, the images {c} channels")
        shift = (draws.uniform(c) * 2 - 1) * self.amount
        return add_color(x, shift, self._colors(x))


def add_color(x, shift, top):
    """Shifts [N, C], shares of the range, added; results clipped to the range."""
    return as_values((_floats(x) + per_image(shift[:, None, None] * top, x)).clamp(0, top), x)


class PCAColor(Transform):
    """AlexNet's change of colours: along the main directions in which the colours of a data set vary, in proportion.

    Adds P (a_1 l_1, a_2 l_2, a_3 l_3) to every pixel of an image, where the columns of P and the l are eigenvectors and
    eigenvalues of the covariance of the colours and the a are normal with the deviation ``std``, drawn for each image.

    Parameters
    ----------
    components : array [C, C]
        P: a column a direction.
    variances : array [C]
        l, of values from 0 to 1.
    std : float, default 0.1

    See `PCAColor.fit`, which finds both in images.
    """

    def __init__(self, components, variances, std: float = 0.1):
        self.components, self.variances = (np.asarray(to_numpy(a), np.float64) for a in (components, variances))
        c = self.variances.shape[0] if self.variances.ndim == 1 else -1
        if c < 1 or self.components.shape != (c, c):
            raise ValueError(
                f"PCAColor: expected components [C, C] and variances [C], got {list(self.components.shape)} and "
                f"{list(self.variances.shape)}"
            )
        finite = np.isfinite(self.components).all() and np.isfinite(self.variances).all()
        if not finite or (self.variances < 0).any():
            raise ValueError("PCAColor: expected finite components and variances from 0 on")
        self.std = check_number("PCAColor", "std", std, 0)

    @classmethod
    def fit(cls, images, std: float = 0.1) -> PCAColor:
        """From images [N, H, W, C], uint8 or from 0 to 1: the covariance of their pixels, largest direction first."""
        a = to_numpy(images)
        if a.ndim != 4 or a.size == 0 or a.dtype.kind not in "uf":
            raise ValueError(f"PCAColor.fit: expected images [N, H, W, C], got {a.dtype} {list(a.shape)}")
        colors = a.reshape(-1, a.shape[3]).astype(np.float64) / (255 if a.dtype == np.uint8 else 1)
        colors -= colors.mean(0)
        values, vectors = np.linalg.eigh(colors.T @ colors / len(colors))
        return cls(vectors[:, ::-1], np.maximum(values[::-1], 0), std)

    def apply(self, x, draws):
        top = self._colors(x, len(self.variances))
        weights = draws.normal(len(self.variances)) * self.std * self.variances
        return add_color(x, weights @ self.components.T, top)


class ColorJitter(Transform):
    """Random brightness, contrast, saturation and hue, for colour images.

    Each is a linear change of the colours of an image, made in this order in one step; results are clipped at the end.

    Parameters
    ----------
    brightness, contrast, saturation : float or (float, float), default 0
        Factors from max(0, 1 - value) to 1 + value, or from the first to the second. Contrast 0 leaves the image's mean
        grey, saturation 0 every pixel's grey.
    hue : float or (float, float), default 0
        Turns of the colours about the grey axis (in YIQ), in whole turns: from -value to value, at most 0.5.
    """

    def __init__(self, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0):
        self.brightness, self.contrast, self.saturation = (
            self._range(name, value, 1.0, 0.0, np.inf)
            for name, value in (("brightness", brightness), ("contrast", contrast), ("saturation", saturation))
        )
        self.hue = self._range("hue", hue, 0.0, -0.5, 0.5)

    @staticmethod
    def _range(name, value, middle, low, high):
        if not isinstance(value, (tuple, list)):
            value = check_number("ColorJitter", name, value, 0, high)
            value = (max(low, middle - value), middle + value)
        return check_pair("ColorJitter", name, value, low, high)

    def apply(self, x, draws):
        top, u, n = self._colors(x, 3), draws.uniform(4), len(x)
        ranges = (self.brightness, self.contrast, self.saturation, self.hue)
        brightness, contrast, saturation, hue = (a + u[:, k] * (b - a) for k, (a, b) in enumerate(ranges))
        values = _floats(x)
        grey = to_numpy(values.mean((1, 2))) @ LUMA * brightness if x.numel() else np.zeros(n)
        # color -> M color + offset: brightness and contrast are factors, contrast keeps the mean grey where it is,
        # saturation pulls colours to their grey, hue turns them.
        matrix = (brightness * contrast)[:, None, None] * np.eye(3)
        offset = ((1 - contrast) * grey)[:, None] * np.ones(3)
        s = saturation[:, None, None]
        angle = 2 * np.pi * hue
        turn = np.tile(np.eye(3), (n, 1, 1))
        turn[:, 1, 1] = turn[:, 2, 2] = np.cos(angle)
        turn[:, 2, 1] = np.sin(angle)
        turn[:, 1, 2] = -turn[:, 2, 1]
        change = np.linalg.inv(YIQ) @ turn @ YIQ @ (s * np.eye(3) + (1 - s) * np.outer(np.ones(3), LUMA))
        matrix, offset = change @ matrix, np.einsum("nij,nj->ni", change, offset)
        flat = values.reshape(n, x.shape[1] * x.shape[2], 3)
        flat = bmm(flat, per_image(matrix.transpose(0, 2, 1), x)) + per_image(offset[:, None], x)
        return as_values(flat.clamp(0, top).reshape(*x.shape), x)
