"""Batches of a data set in a reproducible order, fetched ahead by threads, resumable in mid-epoch."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import starmap

import numpy as np

from .. import _C, cuda
from .._arrays import is_tensor, on_device, one_device, pinned, placed, to_numpy, to_tensor
from ._random import Draws, check_seed, default_seed
from .sampler import RandomSampler, Sampler, SequentialSampler

__all__ = ["DataLoader", "default_collate"]


def default_collate(items: list):
    """Items as one batch: arrays, tensors and numbers are stacked to ``[N, ...]``, tuples and dicts go field by field.

    Python floats become float32, ints int64; strings stay a list. Tensors on a device are stacked there.

    Raises
    ------
    ValueError
        When the shapes of the items differ; pass `collate_fn` to pad them.
    fastnn.DeviceError
        When items of one field lie on different devices.
    """
    first = items[0]
    if isinstance(first, (str, bytes)):
        return list(items)
    if isinstance(first, Mapping):
        return {key: default_collate([item[key] for item in items]) for key in first}
    if isinstance(first, (tuple, list)):
        if any(len(item) != len(first) for item in items):
            raise ValueError(f"collate: items have different numbers of fields, {sorted({len(i) for i in items})}")
        fields = [default_collate(list(field)) for field in zip(*items)]
        return type(first)(*fields) if hasattr(first, "_fields") else type(first)(fields)
    if isinstance(first, float):
        return to_tensor(np.asarray(items, np.float32))
    if is_tensor(first) or isinstance(first, (int, bool, np.ndarray, np.generic)):
        there = any(on_device(item) for item in items)
        if there:
            one_device("collate", [to_tensor(item) for item in items])
        arrays = items if there else [to_numpy(item) for item in items]
        if any(a.shape != arrays[0].shape for a in arrays):
            shapes = sorted({tuple(a.shape) for a in arrays})
            raise ValueError(f"collate: items have different shapes {shapes[:4]}; pad them in a collate_fn of your own")
        return _C.stack([a.detach() for a in arrays]) if there else to_tensor(np.stack(arrays))
    raise TypeError(f"collate: cannot stack items of type {type(first).__name__}; pass a collate_fn")


class DataLoader:
    """Iterates over a data set in batches.

    The order of an epoch is a pure function of the seed and the number of the epoch, whatever ran before and however
    many threads fetch. An iteration that is left early starts the same epoch again next time; one that ends moves on
    to the next epoch.

    Batches are made where the data lies, and handed out there, or on the default device where that is another than the
    CPU (`fastnn.set_default_device`, ``with fastnn.device(...)``).

    Parameters
    ----------
    dataset : Dataset
        Anything with ``len()`` and ``[index]``. With a ``gather(indices)`` method (`TensorDataset` has one) a batch is
        one gather and `collate_fn` is not used.
    batch_size : int
    shuffle : bool
    drop_last : bool
        Leave out a last batch that is not full.
    sampler : Sampler, optional
        Decides the order instead of `shuffle`: an object with ``order(epoch)``, or a fixed list of indices.
    seed : int, optional
        Of the shuffle. Default: the seed last given to `fastnn.manual_seed`.
    generator : int or numpy.random.Generator, optional
        Another way to give the seed: a generator is asked once, now.
    collate_fn : callable, optional
        List of items -> batch. Default `default_collate`; given one, it is used even where `gather` exists.
    num_workers : int
        Threads that fetch ahead; 0 fetches in the calling thread. Threads pay off where items are read from files or
        decoded; the batches and their order are the same.
    prefetch_factor : int
        Batches fetched ahead per thread.
    transform : callable, optional
        Batch -> batch, called with its fields where it is a tuple or list, in the thread that fetched it. One of
        `fastnn.vision.transforms` also gets ``draws=Draws(seed, epoch, indices)``: what happens to an example
        depends on the seed (without shuffling: of `seed`, or the one last given to `fastnn.manual_seed`), the epoch
        and its index alone.
    pin_memory : bool
        Batches on the CPU lie in page-locked memory, from which ``batch.to(device, non_blocking=True)`` copies behind
        the program; those for the default device do.

    Attributes
    ----------
    epoch, position : int
        The epoch that comes next or is running, and how many of its batches were handed out.
    """

    def __init__(self, dataset, batch_size: int = 1, shuffle: bool = False, drop_last: bool = False, *, sampler=None,
                 seed: int | None = None, generator=None, collate_fn=None, num_workers: int = 0,
                 prefetch_factor: int = 2, transform=None, pin_memory: bool = False):  # fmt: skip
        for name, value, least in (("batch_size", batch_size, 1), ("num_workers", num_workers, 0),
                                   ("prefetch_factor", prefetch_factor, 1)):  # fmt: skip
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
                raise TypeError(f"DataLoader: {name} must be an int, got {type(value).__name__}")
            if value < least:
                raise ValueError(f"DataLoader: {name} must be >= {least}, got {value}")
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(f"DataLoader: expected a data set with len() and [index], got {type(dataset).__name__}")
        if isinstance(dataset, tuple) and any(isinstance(part, (np.ndarray, _C.Tensor)) for part in dataset):
            raise TypeError("DataLoader: got a tuple of arrays; TensorDataset(x, y) makes a data set of them")
        if seed is not None and generator is not None:
            raise ValueError("DataLoader: give seed or generator, not both")
        if generator is not None:
            seed = int(generator.integers(1 << 63)) if hasattr(generator, "integers") else generator
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: give shuffle or a sampler, not both")
        self.dataset, self.batch_size, self.drop_last = dataset, int(batch_size), bool(drop_last)
        self.num_workers, self.prefetch_factor = int(num_workers), int(prefetch_factor)
        if transform is not None and not callable(transform):
            raise TypeError(f"DataLoader: transform must be a function of a batch, got {type(transform).__name__}")
        if not isinstance(pin_memory, bool):
            raise TypeError(f"DataLoader: pin_memory must be a bool, got {type(pin_memory).__name__}")
        if pin_memory and not cuda.is_available():
            raise _C.DeviceError(f"DataLoader: pin_memory needs a CUDA device, there is none: {cuda.why_not()}")
        self.collate_fn, self.transform, self.pin_memory = collate_fn, transform, pin_memory
        self.seed = None
        if sampler is not None:
            self.sampler = sampler if hasattr(sampler, "order") else _FixedSampler(sampler, len(dataset))
        elif shuffle:
            self.seed = default_seed() if seed is None else check_seed(seed, "DataLoader: seed")
            self.sampler = RandomSampler(len(dataset), self.seed)
        else:
            self.sampler = SequentialSampler(len(dataset))
        self._draw_seed = self.seed
        if self.seed is None and transform is not None:
            self._draw_seed = default_seed() if seed is None else check_seed(seed, "DataLoader: seed")
        self.epoch = 0
        self.position = 0
        self._resume_at = 0

    def __len__(self):
        """Batches per epoch."""
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def set_epoch(self, epoch: int) -> None:
        """The next iteration is that of `epoch`, from its first batch."""
        if epoch < 0:
            raise ValueError(f"DataLoader: epoch must be >= 0, got {epoch}")
        self.epoch, self.position, self._resume_at = int(epoch), 0, 0

    def _fetch(self, indices, epoch):
        if _C.get_default_device().type == "cpu":
            batch = self._fetched(indices, epoch)
        else:
            with _C.device("cpu"):  # arrays are stacked and transformed there; the batch moves once
                batch = self._fetched(indices, epoch)
        return pinned(batch) if self.pin_memory else batch

    def _fetched(self, indices, epoch):
        batch = self._batch(indices)
        if self.transform is None:
            return batch
        options = {}
        if getattr(self.transform, "takes_draws", False):
            options["draws"] = Draws(self._draw_seed, epoch, indices)
        return self.transform(*(batch if isinstance(batch, (tuple, list)) else (batch,)), **options)

    def _batch(self, indices):
        if self.collate_fn is None:
            # A tensor's own gather is another thing: a tensor as data set is indexed.
            if isinstance(self.dataset, _C.Tensor):
                return self.dataset[_C.from_numpy(np.ascontiguousarray(indices, np.int64))]
            gather = getattr(self.dataset, "gather", None)
            if gather is not None:
                return gather(indices)
        items = [self.dataset[i] for i in indices.tolist()]
        return (self.collate_fn or default_collate)(items)

    def __iter__(self):
        epoch, start = self.epoch, self._resume_at
        self.position, self._resume_at = start, 0
        order = np.asarray(self.sampler.order(epoch), np.int64)
        size = self.batch_size
        batches = ((order[i * size : (i + 1) * size], epoch) for i in range(start, len(self)))
        fetched = starmap(self._fetch, batches) if self.num_workers == 0 else self._fetch_ahead(batches)
        return self._count(fetched, epoch)

    def _count(self, batches, epoch):
        """Hand out the batches and keep the position: it counts what was handed out, not what was fetched."""
        for batch in batches:
            if self.epoch == epoch:  # else set_epoch or another iteration has moved on
                self.position += 1
            device = _C.get_default_device()
            yield batch if device.type == "cpu" else placed(batch, device, self.pin_memory)
        if self.epoch == epoch:
            self.epoch, self.position = epoch + 1, 0

    def _fetch_ahead(self, batches):
        from concurrent.futures import ThreadPoolExecutor

        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="fastnn-loader")
        try:
            waiting = deque()
            for batch in batches:
                waiting.append(pool.submit(self._fetch, *batch))
                if len(waiting) >= self.num_workers * self.prefetch_factor:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def state_dict(self) -> dict:
        """Epoch, position and what the order depends on: enough to continue with the very next batch."""
        state = {"epoch": self.epoch, "position": self.position, "seed": self.seed, "items": len(self.sampler),
                 "batch_size": self.batch_size, "drop_last": self.drop_last}  # fmt: skip
        return state if self.transform is None else {**state, "draw_seed": self._draw_seed}

    def load_state_dict(self, state: dict) -> None:
        """Continue where `state_dict` was taken: the next iteration begins at that batch of that epoch.

        Raises
        ------
        ValueError
            When this loader would cut other batches (another number of items, batch size or drop_last, or one shuffles
            and the other does not). The seed is taken over.
        """
        mine = self.state_dict()
        for key in ("items", "batch_size", "drop_last"):
            if state[key] != mine[key]:
                raise ValueError(f"DataLoader: the saved loader had {key}={state[key]}, this one has {mine[key]}")
        if (state["seed"] is None) != (self.seed is None):
            raise ValueError("DataLoader: the saved loader and this one differ in shuffle")
        if not (0 <= state["position"] <= len(self) and state["epoch"] >= 0):
            raise ValueError(f"DataLoader: bad position {state['position']} in epoch {state['epoch']}")
        if self.seed is not None:
            self.seed = check_seed(state["seed"], "DataLoader: seed")
            self.sampler = RandomSampler(len(self.dataset), self.seed)
        if self.transform is not None:
            seed = state.get("draw_seed", self._draw_seed if self.seed is None else self.seed)
            self._draw_seed = check_seed(seed, "DataLoader: seed")
        self.epoch = int(state["epoch"])
        self.position = self._resume_at = int(state["position"])


class _FixedSampler(Sampler):
    """A list of indices, the same in every epoch."""

    def __init__(self, indices, length):
        self.indices = np.asarray(indices, np.int64).reshape(-1)
        if self.indices.size and (self.indices.min() < 0 or self.indices.max() >= length):
            raise IndexError(f"DataLoader: the sampler has an index outside the {length} items")

    def __len__(self):
        return len(self.indices)

    def order(self, epoch):
        return self.indices
