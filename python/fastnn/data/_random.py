"""Orders that are a pure function of (seed, epoch): Philox bits, the same in every version of NumPy."""

from __future__ import annotations

import numpy as np

__all__ = ["philox_bits", "permutation", "default_seed", "check_seed"]

# Streams keep uses apart that share a seed: the shuffle of a loader must not repeat the split of its data set.
SHUFFLE, SPLIT, SAMPLE, TEXT = 1, 2, 3, 4


def check_seed(seed, what: str = "seed") -> int:
    """The seed as an int of 64 bits, or the exception that says what came."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
        raise TypeError(f"{what}: expected an int, got {type(seed).__name__}")
    if not 0 <= int(seed) < 1 << 64:
        raise ValueError(f"{what}: expected 0 <= seed < 2**64, got {seed}")
    return int(seed)


def default_seed() -> int:
    """The seed of fastnn's default generator, i.e. the one last given to `fastnn.manual_seed`."""
    import fastnn

    return int(fastnn.get_rng_state()[0])


def philox_bits(n: int, seed: int, epoch: int, stream: int) -> np.ndarray:
    """`n` random uint64, a function of the arguments alone.

    The raw bits are used because NumPy guarantees them for ever, which it does not for `Generator.permutation`.
    The generator counts in the low word of its counter, so epoch and stream in the high words never meet.
    """
    bits = np.random.Philox(key=seed, counter=[0, 0, epoch, stream])
    return bits.random_raw(n) if n else np.empty(0, np.uint64)


def permutation(n: int, seed: int, epoch: int = 0, stream: int = SHUFFLE) -> np.ndarray:
    """A random order of ``0 .. n-1`` as int64: the order in which `n` random keys sort."""
    return np.argsort(philox_bits(n, seed, epoch, stream), kind="stable").astype(np.int64, copy=False)
