"""Orders that are a pure function of (seed, epoch): Philox bits, the same in every version of NumPy."""

from __future__ import annotations

import numpy as np

__all__ = ["Draws", "check_seed", "default_seed", "permutation", "philox_bits"]

# Streams keep uses apart that share a seed: the shuffle of a loader must not repeat the split of its data set.
SHUFFLE, SPLIT, SAMPLE, TEXT, TUNE = 1, 2, 3, 4, 5


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


class Draws:
    """Random numbers for the examples of a batch, each a function of (seed, epoch, number of the draw, example) alone.

    So an example gets the same numbers in whatever batch, thread or resumed run it comes. Every call of a method is the
    next draw: code that draws must do so as often for every batch.

    Parameters
    ----------
    seed : int
    epoch : int
        Below 2**32.
    indices : array of int64 [N]
        The examples' places in their data set.
    """

    def __init__(self, seed: int, epoch: int, indices):
        self.seed, self.epoch, self.number = check_seed(seed, "Draws: seed"), int(epoch), 0
        self.indices = np.ascontiguousarray(indices, np.int64)

    @classmethod
    def fresh(cls, n: int) -> Draws:
        """For a batch that has no place in an epoch: the default generator's next draw; `manual_seed` repeats it."""
        import fastnn

        seed, offset = fastnn.get_rng_state()
        fastnn.set_rng_state((seed, offset + 1))
        return cls(seed, offset % (1 << 32), np.arange(n) + np.iinfo(np.int64).min)  # no example of a data set

    def __len__(self):
        return len(self.indices)

    def uniform(self, count: int, low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """float64 [N, count] in [low, high)."""
        from .. import _C

        u = _C._example_uniform(self.seed, self.epoch, self.number, _C.from_numpy(self.indices), count).numpy()
        self.number += 1
        return low + u * (high - low)

    def normal(self, count: int) -> np.ndarray:
        """float64 [N, count], mean 0, deviation 1 (Box-Muller)."""
        u = self.uniform(2 * count)
        return np.sqrt(-2 * np.log1p(-u[:, :count])) * np.cos(2 * np.pi * u[:, count:])

    def integers(self, count: int, high) -> np.ndarray:
        """int64 [N, count] in [0, high); ``high`` may be an array [count]."""
        return np.floor(self.uniform(count) * high).astype(np.int64)
