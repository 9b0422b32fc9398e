"""New sequences, token by token, from any model with ``initial_state`` and ``step``."""

from __future__ import annotations

import numpy as np

from .. import _C
from .._arrays import device_of, is_tensor, to_numpy, to_tensor
from ..autograd import no_grad
from ..data._random import TEXT, check_seed, philox_bits
from .batching import _ids

__all__ = ["next_probabilities", "choose", "generate"]


def next_probabilities(scores, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None,
                       avoid=()):  # fmt: skip
    """Probabilities from scores: softmax(scores / temperature), cut to the likeliest tokens and made to add up to 1.

    Parameters
    ----------
    scores : Tensor or array [..., V]
    temperature : float, default 1
        Below 1 bolder, above 1 more varied; 0 puts everything on the largest score (the first of them).
    top_k : int, optional
        Only the k likeliest tokens.
    top_p : float in (0, 1], optional
        Only the likeliest tokens that together reach p (nucleus sampling, Holtzman 2020), after `top_k`.
    avoid : iterable of int
        Tokens that must not come. To drop them here is the same as to draw again until none of them comes.

    Returns
    -------
    ndarray float64 [..., V]

    Raises
    ------
    ValueError
        For settings outside their range, scores that are NaN or +inf, and where no token is left.
    """
    z = (to_numpy(scores) if is_tensor(scores) else np.asarray(scores)).astype(np.float64)
    if z.ndim < 1 or z.shape[-1] < 1:
        raise ValueError(f"next_probabilities: expected scores [..., V], got shape {list(z.shape)}")
    vocabulary = z.shape[-1]
    if not (np.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"next_probabilities: expected a finite temperature >= 0, got {temperature}")
    if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, (int, np.integer)) or top_k < 1):
        raise ValueError(f"next_probabilities: expected an int top_k >= 1, got {top_k!r}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"next_probabilities: expected top_p in (0, 1], got {top_p}")
    if np.isnan(z).any() or (z == np.inf).any():
        raise ValueError("next_probabilities: a score is NaN or +inf")
    avoid = [int(i) for i in avoid]
    if any(not 0 <= i < vocabulary for i in avoid):
        raise IndexError(f"next_probabilities: a token to avoid is not one of {vocabulary}: {avoid}")
    z[..., avoid] = -np.inf
    best = z.max(-1, keepdims=True)
    if (best == -np.inf).any():
        raise ValueError("next_probabilities: no token is left")
    if temperature == 0:
        top_k = 1
    p = np.exp((z - best) / (temperature or 1.0))
    p /= p.sum(-1, keepdims=True)
    if top_k is not None and top_k < vocabulary or top_p is not None:
        order = np.argsort(-z, axis=-1, kind="stable")  # of equal scores the first stays
        ranked = np.take_along_axis(p, order, -1)
        out = np.zeros(ranked.shape, bool)
        if top_k is not None:
            out[..., top_k:] = True
            ranked[..., top_k:] = 0
            ranked /= ranked.sum(-1, keepdims=True)
        if top_p is not None:
            out |= np.cumsum(ranked, -1) - ranked >= top_p  # what comes before has reached p already
        ranked[out] = 0
        ranked /= ranked.sum(-1, keepdims=True)
        np.put_along_axis(p, order, ranked, -1)
    return p


def choose(probabilities, uniform) -> np.ndarray:
    """The token at `uniform` (in [0, 1), [...]) on the cumulative sum of `probabilities` [..., V]: int64 [...]."""
    p = np.asarray(to_numpy(probabilities), np.float64)
    total = np.cumsum(p, -1)
    index = (total <= np.asarray(uniform)[..., None] * total[..., -1:]).sum(-1)
    last = p.shape[-1] - 1 - np.argmax(p[..., ::-1] > 0, axis=-1)  # rounding must not lead behind the last one
    return np.minimum(index, last)


def generate(model, length: int, prefix=None, *, n: int = 1, first: int | None = None, stop: int | None = None,
             temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None, avoid=(),
             seed: int | None = None, state=None) -> list[np.ndarray]:  # fmt: skip
    """Sequences sampled from a model, each token fed back as the next input.

    Parameters
    ----------
    model : Module
        With ``initial_state(n)`` and ``step(ids [n], state) -> (scores [n, V], state)``, as `LanguageModel`,
        `WindowLanguageModel`, `OneToMany` and the decoder of `EncoderDecoder` have. Runs in eval mode.
    length : int
        The most tokens to draw.
    prefix : sequence of int, optional
        What all sequences begin with. It is part of the result.
    n : int
        Number of sequences, side by side.
    first : int, optional
        A token before everything (beginning of sentence); not part of the result. A prefix or `first` must be given.
    stop : int, optional
        A sequence ends with this token; it is not part of the result.
    temperature, top_k, top_p, avoid
        Those of `next_probabilities`. ``avoid=[vocabulary.unk]``: no unknown word is written.
    seed : int, optional
        The draws are a function of the seed alone (Philox): the same text everywhere. Default: fastnn's generator.
    state : optional
        Where the model begins, instead of ``initial_state(n)``.

    Returns
    -------
    list of n arrays int64
    """
    if length < 0 or n < 1:
        raise ValueError(f"generate: expected length >= 0 and n >= 1, got {length} and {n}")
    prefix = _ids("generate: prefix", [] if prefix is None else prefix)
    given = ([] if first is None else [int(first)]) + prefix.tolist()
    if not given:
        raise ValueError("generate: expected a prefix or a first token to begin with")
    if seed is not None:
        check_seed(seed, "generate: seed")
    training, device = model.training, device_of(model)
    model.eval()
    drawn = np.empty((n, length), np.int64)
    ended = np.full(n, length)
    try:
        with no_grad():
            state = model.initial_state(n) if state is None else state
            for token in given:
                scores, state = model.step(_C.full((n,), token, dtype=_C.int64, device=device), state)
            for t in range(length):
                p = next_probabilities(scores, temperature, top_k, top_p, avoid)
                if seed is None:
                    u = to_numpy(_C.rand((n,), dtype=_C.float64))
                else:
                    u = (philox_bits(n, seed, t, TEXT) >> np.uint64(11)) * 2.0**-53
                drawn[:, t] = choose(p, u)
                if stop is not None:
                    ended = np.where((drawn[:, t] == stop) & (ended == length), t, ended)
                    if (ended <= t).all():
                        break
                if t + 1 < length:
                    scores, state = model.step(to_tensor(drawn[:, t].copy()).to(device), state)
    finally:
        model.train(training)
    return [np.concatenate([prefix, row[:end]]) for row, end in zip(drawn, ended)]
