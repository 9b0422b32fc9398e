"""What a transform is, and how several become one."""

from __future__ import annotations

import numpy as np

from ..._arrays import is_tensor, to_tensor
from ..._C import Tensor, float32, uint8, where
from ..._C import from_numpy as _from_numpy
from ...data import Draws

__all__ = ["Compose", "RandomApply", "Transform"]


def check_images(owner: str, x) -> Tensor:
    """A batch of images as a tensor, or the exception that says what came."""
    if not is_tensor(x) and not isinstance(x, np.ndarray):
        raise TypeError(f"{owner}: expected images as a Tensor or array [N, H, W, C], got {type(x).__name__}")
    if x.ndim != 4:
        raise ValueError(f"{owner}: expected images [N, H, W, C] (channels last), got {list(x.shape)}")
    x = to_tensor(x)
    if x.dtype not in (uint8, float32):
        raise TypeError(f"{owner}: expected uint8 or float32 images, got {x.dtype.name}")
    return x


class Transform:
    """Base class: subclasses define ``apply(x, draws)``, images ``[N, H, W, C]`` to images.

    A transform is called with the fields of a batch: ``t(x)`` gives images, ``t(x, y)`` gives ``(images, y)``. It must
    draw equally often from ``draws`` for every batch, whatever the numbers say.
    """

    takes_draws = True  # a DataLoader passes draws=

    def __call__(self, x, *targets, draws: Draws | None = None):
        x = check_images(type(self).__name__, x)
        y = self.apply(x, Draws.fresh(len(x)) if draws is None else self._fits(draws, x))
        return (y, *targets) if targets else y

    def apply(self, x: Tensor, draws: Draws) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} must define apply(x, draws)")

    # --- what subclasses check with ----------------------------------------------------------------------------------

    def _fits(self, draws, x):
        if not isinstance(draws, Draws):
            raise TypeError(f"{type(self).__name__}: expected draws as Draws, got {type(draws).__name__}")
        if len(draws) != len(x):
            raise ValueError(f"{type(self).__name__}: {len(x)} images, but draws for {len(draws)}")
        return draws

    def _colors(self, x, channels: int | None = None) -> float:
        """The largest value, 255 or 1; images with other values are refused, since results are clipped to it."""
        name = type(self).__name__
        if channels is not None and x.shape[3] != channels:
            raise ValueError(f"{name}: expected {channels} channels, got {x.shape[3]}")
        if x.dtype == uint8:
            return 255.0
        if x.numel() and not (float(x.amin().item()) >= -1e-3 and float(x.amax().item()) <= 1.001):
            raise ValueError(f"{name}: expected values from 0 to 1 (before Normalize), got others")
        return 1.0

    def __repr__(self):
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in vars(self).items() if k[0] != '_')})"


def as_values(y: Tensor, like: Tensor) -> Tensor:
    """float32 results as ``like`` has its values: rounded and clipped for uint8."""
    return y if like.dtype == float32 else (y.clamp(0, 255) + 0.5).floor().to(uint8)


def per_image(a, x: Tensor) -> Tensor:
    """NumPy numbers [N, ...] as float32, where the images x are."""
    return _from_numpy(np.ascontiguousarray(a, np.float32)).to(x.device)


def check_number(owner: str, name: str, value, low: float, high: float = np.inf) -> float:
    """A finite number in [low, high]."""
    if isinstance(value, (bool, str)) or not np.isscalar(value):
        raise TypeError(f"{owner}: {name} expects a number, got {value!r}")
    if not (low <= value <= high and np.isfinite(value)):
        top = "" if high == np.inf else f" to {high:g}"
        raise ValueError(f"{owner}: {name} expects a finite number from {low:g}{top or ' on'}, got {value!r}")
    return float(value)


def check_pair(owner: str, name: str, value, low: float, high: float = np.inf) -> tuple[float, float]:
    """(least, most), finite numbers in [low, high]."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(pair) != 2:
        raise ValueError(f"{owner}: {name} expects (least, most), got {value!r}")
    a, b = (check_number(owner, name, v, low, high) for v in pair)
    if a > b:
        raise ValueError(f"{owner}: {name} expects (least, most), got {value!r}")
    return a, b


def check_size(owner: str, value, name: str = "size", least: int = 1) -> tuple[int, int]:
    """(height, width) from one number or two."""
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in pair):
        raise TypeError(f"{owner}: {name} expects one integer or (height, width), got {value!r}")
    if min(pair) < least:
        raise ValueError(f"{owner}: {name} expects integers from {least} on, got {value!r}")
    return int(pair[0]), int(pair[1])


class Compose(Transform):
    """Several transforms, one after the other.

    Parameters
    ----------
    transforms : sequence of Transform or callable
        A plain function is given the images alone.
    """

    def __init__(self, transforms):
        if isinstance(transforms, Transform) or not hasattr(transforms, "__iter__"):
            raise TypeError(f"Compose: expected a list of transforms, got {type(transforms).__name__}")
        self.transforms = list(transforms)
        for t in self.transforms:
            if not callable(t):
                raise TypeError(f"Compose: expected transforms or functions, got {type(t).__name__}")

    def __call__(self, x, *targets, draws: Draws | None = None):
        x = check_images(type(self).__name__, x)
        draws = Draws.fresh(len(x)) if draws is None else self._fits(draws, x)
        for t in self.transforms:
            if not isinstance(t, Transform):
                x = t(x)
            elif targets:
                x, *targets = t(x, *targets, draws=draws)
            else:
                x = t(x, draws=draws)
        return (x, *targets) if targets else x

    def __repr__(self):
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


class RandomApply(Transform):
    """A transform that only some of the images go through.

    Parameters
    ----------
    transform : Transform
        One that keeps the shape and dtype.
    p : float, default 0.5
        Probability of an image.
    """

    def __init__(self, transform: Transform, p: float = 0.5):
        if not isinstance(transform, Transform):
            raise TypeError(f"RandomApply: expected a Transform, got {type(transform).__name__}")
        self.transform, self.p = transform, check_number("RandomApply", "p", p, 0, 1)

    def apply(self, x, draws):
        chosen = draws.uniform(1) < self.p
        y = self.transform(x, draws=draws)
        if y.shape != x.shape or y.dtype != x.dtype:
            raise ValueError(
                f"RandomApply: {type(self.transform).__name__} made {y.dtype} {list(y.shape)} of {x.dtype} "
                f"{list(x.shape)}; only transforms that keep both can be left out"
            )
        return where(_from_numpy(chosen.reshape(-1, 1, 1, 1)).to(x.device), y, x)
