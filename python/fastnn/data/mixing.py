"""Artificial data: noise into speech at a chosen ratio, images onto backgrounds.

What is made is a function of the seed and the position of the item alone. The ear does not hear that one hour of noise
lies under ten thousand hours of speech, but a network learns that hour by heart: `NoiseMixer.report` counts it.
"""

from __future__ import annotations

import numpy as np

from .._arrays import is_tensor, to_numpy, to_tensor
from ._random import check_seed

__all__ = ["mix_at_snr", "NoiseMixer", "random_crops", "on_backgrounds"]


def _signal(a, what):
    a = to_numpy(a)
    if a.ndim == 0 or not a.size or a.dtype.kind not in "fiu":
        raise ValueError(f"{what}: expected samples [T] or [T, channels], got {a.dtype} {list(a.shape)}")
    a = a.astype(np.float64)
    if not np.isfinite(a).all():
        raise ValueError(f"{what}: the samples hold NaN or infinity")
    return a


def mix_at_snr(clean, noise, snr_db: float):
    """``clean + g noise`` with ``10 log10(power(clean) / power(g noise)) = snr_db``.

    Parameters
    ----------
    clean, noise : array [T] or [T, channels]
        Of one length. The mix is not clipped: scale it before writing integers.
    snr_db : float
        0: as loud as the speech; 20: a hundredth of its power; infinity: no noise.

    Returns
    -------
    float32 array (float64 where `clean` is), a tensor where `clean` is one

    Raises
    ------
    ValueError
        For lengths that differ, or a silent signal: no factor gives the ratio.
    """
    c, n = _signal(clean, "mix_at_snr: clean"), _signal(noise, "mix_at_snr: noise")
    if c.shape != n.shape:
        raise ValueError(f"mix_at_snr: clean {list(c.shape)} and noise {list(n.shape)} must have one shape")
    if np.isnan(snr_db) or snr_db == -np.inf:
        raise ValueError(f"mix_at_snr: snr_db must be a number of decibels, got {snr_db}")
    powers = (c * c).mean(), (n * n).mean()
    if not min(powers) > 0:
        raise ValueError(f"mix_at_snr: {'clean' if not powers[0] else 'noise'} is silent, so there is no ratio")
    mixed = c + n * np.sqrt(powers[0] / powers[1] * 10 ** (-float(snr_db) / 10))
    mixed = mixed if to_numpy(clean).dtype == np.float64 else mixed.astype(np.float32)
    return to_tensor(mixed) if is_tensor(clean) else mixed


class NoiseMixer:
    """Lays a random stretch of random noise under every clip.

    Parameters
    ----------
    noises : sequence of arrays [T]
        Recordings of noise. Shorter ones than a clip are repeated.
    snr_db : float or (low, high)
        Decibels, drawn evenly from the range.
    seed : int

    Examples
    --------
    >>> mixer = NoiseMixer([car, cafe], snr_db=(0, 20))
    >>> noisy = [mixer(clip, i) for i, clip in enumerate(clips)]
    >>> print(mixer.report())
    """

    def __init__(self, noises, snr_db=(0.0, 20.0), seed: int = 0):
        self.noises = [_signal(n, f"NoiseMixer: noise {i}") for i, n in enumerate(noises)]
        if not self.noises:
            raise ValueError("NoiseMixer: expected at least one recording of noise")
        if any(n.ndim != 1 or not n.any() for n in self.noises):
            raise ValueError("NoiseMixer: expected recordings of one channel that are not silent throughout")
        low, high = (snr_db, snr_db) if np.ndim(snr_db) == 0 else snr_db
        if not -np.inf < low <= high < np.inf:
            raise ValueError(f"NoiseMixer: snr_db must be a number or (low, high), got {snr_db}")
        self.snr_db, self.seed = (float(low), float(high)), check_seed(seed, "NoiseMixer: seed")
        self._heard = [np.zeros(len(n), np.int64) for n in self.noises]

    def __call__(self, clean, index: int):
        """`clean` [T] with noise; the same for the same `index` and seed."""
        rng = np.random.default_rng([self.seed, int(index)])
        which = int(rng.integers(len(self.noises)))
        noise, length = self.noises[which], len(to_numpy(clean))
        start = int(rng.integers(max(len(noise) - length, 0) + 1 if len(noise) >= length else len(noise)))
        positions = (start + np.arange(length)) % len(noise)
        snr = rng.uniform(*self.snr_db) if noise[positions].any() else np.inf  # silence adds nothing
        mixed = mix_at_snr(clean, noise[positions] if np.isfinite(snr) else np.ones(length), snr)
        np.add.at(self._heard[which], positions, 1)
        return mixed

    def diversity(self) -> dict:
        """``clean``: samples mixed; ``noise``: different samples of noise under them; ``repeats``: their ratio."""
        clean = int(sum(h.sum() for h in self._heard))
        unique = int(sum(np.count_nonzero(h) for h in self._heard))
        return {"clean": clean, "noise": unique, "repeats": clean / unique if unique else 0.0}

    def report(self, rate: float = 1.0) -> str:
        """One line on how often the same noise was heard, with a warning above 10 times; `rate` in samples a second."""
        d = self.diversity()
        text = f"{d['clean'] / rate:.4g} s mixed with {d['noise'] / rate:.4g} s of different noise: "
        text += f"every second of noise is heard {d['repeats']:.4g} times"
        return text + (". Collect more noise: a network can learn this much by heart" if d["repeats"] > 10 else "")


def _images(images, what):
    a = to_numpy(images)
    if a.ndim == 3:
        a = a[..., None]
    if a.ndim != 4 or not a.size:
        raise ValueError(f"{what}: expected images [N, H, W] or [N, H, W, C], got {list(a.shape)}")
    a = a.astype(np.float32) / 255 if a.dtype == np.uint8 else a.astype(np.float32)
    if not (np.isfinite(a).all() and a.min() >= 0 and a.max() <= 1):
        raise ValueError(f"{what}: expected values from 0 to 1 (or uint8 from 0 to 255)")
    return a


def random_crops(photos, n: int, size: int, seed: int = 0) -> np.ndarray:
    """`n` square pieces of photographs, to lay things on.

    Parameters
    ----------
    photos : array [N, H, W, C], or a list of arrays [H, W, C] of any size
    size : int
        Side in pixels; each photograph must be at least as large.

    Returns
    -------
    float32 array [n, size, size, C], values 0 to 1
    """
    if n < 0 or size < 1:
        raise ValueError(f"random_crops: expected n >= 0 and size >= 1, got {n} and {size}")
    if isinstance(photos, (list, tuple)):
        photos = [_images(to_numpy(p)[None], f"random_crops: photo {i}")[0] for i, p in enumerate(photos)]
    else:
        photos = _images(photos, "random_crops")
    small = [list(p.shape) for p in photos if min(p.shape[:2]) < size]
    if not len(photos) or small or len({p.shape[2] for p in photos}) != 1:
        raise ValueError(f"random_crops: expected photographs of {size} x {size} or more, of one depth; got {small}")
    rng = np.random.default_rng(check_seed(seed, "random_crops: seed"))
    crops = np.empty((n, size, size, photos[0].shape[2]), np.float32)
    for crop in crops:
        photo = photos[int(rng.integers(len(photos)))]
        i, j = (int(rng.integers(side - size + 1)) for side in photo.shape[:2])
        crop[...] = photo[i : i + size, j : j + size]
    return crops


def on_backgrounds(images, backgrounds, mode: str = "difference", color=1.0):
    """Lay images with ink 0 to 1 onto backgrounds.

    Parameters
    ----------
    images : array [N, H, W] or [N, H, W, 1]
        0: nothing there; 1: full ink.
    backgrounds : array [N, H, W, C]
        One for each image, values 0 to 1; see `random_crops`.
    mode : {"difference", "paint"}
        "difference": ``|background - ink|``, as in MNIST-M (Ganin et al. 2016), visible on light and dark alike;
        "paint": ``(1 - ink) background + ink color``.
    color : float or array [C] or [N, 1, 1, C]
        Of the paint.

    Returns
    -------
    float32 array [N, H, W, C], a tensor where `images` is one
    """
    ink, ground = _images(images, "on_backgrounds: images"), _images(backgrounds, "on_backgrounds: backgrounds")
    if ink.shape[3] != 1 or ink.shape[:3] != ground.shape[:3]:
        raise ValueError(
            f"on_backgrounds: expected grey images and as many backgrounds of their size, got {list(ink.shape)} and "
            f"{list(ground.shape)}"
        )
    if mode == "difference":
        result = abs(ground - ink)
    elif mode == "paint":
        result = (1 - ink) * ground + ink * np.asarray(color, np.float32)
    else:
        raise ValueError(f"on_backgrounds: mode must be difference or paint, got {mode!r}")
    return to_tensor(result) if is_tensor(images) else result
