"""Parts of images taken out, images mixed, and several views of one image at test time."""

from __future__ import annotations

import numpy as np

from ..._arrays import to_numpy
from ..._C import Tensor, cat, float32, stack, where
from ..._C import from_numpy as _from_numpy
from ...autograd import no_grad
from ._base import Transform, as_values, check_images, check_number, check_size, per_image

__all__ = ["Cutout", "Mixup", "ten_crop", "ten_crop_predict"]


class Cutout(Transform):
    """A rectangle of every image painted over (DeVries and Taylor 2017).

    Its middle is any pixel, so part of it may lie outside the image.

    Parameters
    ----------
    size : int or (int, int)
    p : float, default 1
        Probability of an image.
    fill : float, default 0
    """

    def __init__(self, size, p: float = 1.0, fill: float = 0.0):
        self.size, self.p = check_size("Cutout", size), check_number("Cutout", "p", p, 0, 1)
        self.fill = check_number("Cutout", "fill", fill, -np.inf)

    def apply(self, x, draws):
        if x.dtype != float32 and not 0 <= self.fill <= 255:
            raise ValueError(f"Cutout: fill expects a number from 0 to 255 for uint8, got {self.fill}")
        chosen, middle = draws.uniform(1) < self.p, draws.integers(2, np.array(x.shape[1:3]))
        rows, columns = (
            (np.arange(n) >= low[:, None]) & (np.arange(n) < low[:, None] + side)
            for n, low, side in zip(x.shape[1:3], (middle - np.array(self.size) // 2).T, self.size)
        )
        hole = (rows & chosen)[:, :, None] & columns[:, None]
        fill = self.fill if x.dtype == float32 else int(self.fill + 0.5)
        return where(_from_numpy(hole[..., None]).to(x.device), fill, x)


class Mixup(Transform):
    """Every image mixed with another of its batch, and their labels alike (Zhang et al. 2018).

    x' = l x + (1 - l) x_other, and the label becomes probabilities ``[N, num_classes]``, l at its class and 1 - l at
    the other's; `cross_entropy` takes them. l is Beta(alpha, alpha). The partner depends on who is in the batch.

    Parameters
    ----------
    num_classes : int
    alpha : float, default 0.2
        Near 0 images stay nearly alone, 1 makes all shares equally likely.
    """

    TRIES = 16  # of rejection sampling; each fails one time in twenty at most

    def __init__(self, num_classes: int, alpha: float = 0.2):
        if not isinstance(num_classes, (int, np.integer)) or isinstance(num_classes, bool) or num_classes < 1:
            raise ValueError(f"Mixup: num_classes expects an integer from 1 on, got {num_classes!r}")
        self.num_classes, self.alpha = int(num_classes), check_number("Mixup", "alpha", alpha, 1e-3, 1e6)

    def _log_gamma_draws(self, draws):
        """Logarithms of Gamma(alpha, 1) numbers [N]: Marsaglia and Tsang (2000) for alpha + 1, times u^(1/alpha)."""
        d = self.alpha + 1 - 1 / 3
        z, u = draws.normal(self.TRIES), draws.uniform(self.TRIES + 1)
        v = np.maximum(1 + z / np.sqrt(9 * d), 1e-9) ** 3  # below 0 at least 3 deviations out: refused next
        good = np.log1p(-u[:, 1:]) < 0.5 * z**2 + d - d * v + d * np.log(v)
        return np.log(d * v[np.arange(len(z)), good.argmax(1)]) + np.log1p(-u[:, 0]) / self.alpha

    def __call__(self, x, *targets, draws=None):
        if len(targets) != 1:
            raise TypeError(f"Mixup: expected images and labels, got {1 + len(targets)} fields")
        y = to_numpy(targets[0])
        if y.shape != (len(x),) and y.shape != (len(x), self.num_classes):
            raise ValueError(
                f"Mixup: expected labels [{len(x)}] or shares [{len(x)}, {self.num_classes}], got {list(y.shape)}"
            )
        if y.ndim == 1:
            if y.dtype.kind not in "ui":
                raise TypeError(f"Mixup: expected integer labels, got {y.dtype}")
            if y.size and not 0 <= y.min() <= y.max() < self.num_classes:
                raise IndexError(f"Mixup: labels from {y.min()} to {y.max()} in {self.num_classes} classes")
            y = np.eye(self.num_classes, dtype=np.float32)[y]
        mixed, share, partner = super().__call__(x, draws=draws)
        share = share[:, None].astype(np.float32)
        return mixed, _from_numpy(share * y.astype(np.float32) + (1 - share) * y.astype(np.float32)[partner])

    def apply(self, x, draws):
        a, b = self._log_gamma_draws(draws), self._log_gamma_draws(draws)
        share, partner = 1 / (1 + np.exp(np.clip(b - a, -700, 700))), draws.integers(1, max(len(x), 1))[:, 0]
        values = x if x.dtype == float32 else x.float()
        own = per_image(share[:, None, None, None], x)
        return as_values(own * values + (1 - own) * values[_from_numpy(partner)], x), share, partner


def ten_crop(x, size) -> Tensor:
    """Ten views of every image: the four corners and the middle, and the same mirrored.

    Parameters
    ----------
    x : Tensor or array
        ``[N, H, W, C]``
    size : int or (int, int)
        Of a view, at most that of the images.

    Returns
    -------
    Tensor
        ``[N, 10, height, width, C]``: top left, top right, bottom left, bottom right, middle, then mirrored.
    """
    x = check_images("ten_crop", x)
    (h, w), (height, width) = check_size("ten_crop", size), x.shape[1:3]
    if h > height or w > width:
        raise ValueError(f"ten_crop: a window of {[h, w]} does not fit into {[height, width]}")
    middle = ((height - h) // 2, (width - w) // 2)
    places = [(0, 0), (0, width - w), (height - h, 0), (height - h, width - w), middle]
    views = [x[:, i : i + h, j : j + w] for i, j in places]
    return stack([*views, *(v.flip(2) for v in views)], 1)


def ten_crop_predict(model, x, size, batch_size: int = 64) -> Tensor:
    """The mean of a network's probabilities over the ten views of every image (`ten_crop`), which is a little better.

    Parameters
    ----------
    model : Module
        ``[M, height, width, C]`` to scores ``[M, classes]``; it is asked in evaluation mode.
    x : Tensor or array
        ``[N, H, W, C]``, prepared as the model wants it (float32).
    size : int or (int, int)
    batch_size : int
        Images at a time.

    Returns
    -------
    Tensor
        ``[N, classes]``, rows that add up to 1.
    """
    if batch_size < 1:
        raise ValueError(f"ten_crop_predict: batch_size expects at least 1, got {batch_size}")
    x = check_images("ten_crop_predict", x)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with no_grad():
            parts = []
            for i in range(0, max(len(x), 1), batch_size):
                views = ten_crop(x[i : i + batch_size], size)
                scores = model(views.reshape(-1, *views.shape[2:]))
                parts.append(scores.softmax(-1).reshape(views.shape[0], 10, -1).mean(1))
            return cat(parts, 0)
    finally:
        for module, mode in modes:
            module.training = mode
