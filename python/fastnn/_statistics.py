"""Statistics, counting and drawing: formulas over other operations, or NumPy's where there is no gradient."""

import math

from fastnn import _C

__all__ = [
    "aminmax",
    "bincount",
    "bucketize",
    "histc",
    "msort",
    "multinomial",
    "nanmean",
    "quantile",
    "searchsorted",
    "std_mean",
    "unique",
]


def std_mean(x, dim=None, *, correction=1, keepdim=False):
    """(standard deviation, mean) along ``dim``."""
    var, mean = _C.var_mean(x, dim, correction=correction, keepdim=keepdim)
    return var.sqrt(), mean


def aminmax(x, *, dim=None, keepdim=False):
    """(smallest, largest) element along ``dim``."""
    return x.amin(dim, keepdim), x.amax(dim, keepdim)


def nanmean(x, dim=None, keepdim=False):
    """The mean of the elements that are not NaN."""
    return x.nansum(dim, keepdim) / (~x.isnan()).to(x.dtype).sum(dim, keepdim)


def msort(x):
    """x sorted along its first axis."""
    return x.sort(0)[0]


def quantile(x, q, dim=None, keepdim=False):
    """The q-th quantiles along ``dim`` (all elements where None), linear between neighbours.

    Parameters
    ----------
    q : float or Tensor [Q]
        From 0 to 1. Several give a first axis of size Q.
    """
    flat = x.reshape(-1) if dim is None else x
    axis = 0 if dim is None else dim
    ordered = flat.sort(axis)[0]
    size = ordered.shape[axis]
    if size == 0:
        raise ValueError("quantile: expected at least one element")
    bad = flat.isnan().any(axis, True)

    def one(level):
        if not 0 <= level <= 1:
            raise ValueError(f"quantile: expected 0 <= q <= 1, got {level}")
        place = level * (size - 1)
        low = min(int(place), size - 1)
        y = ordered.narrow(axis, low, 1)
        if place > low:  # else the upper neighbour, which may be infinite, has no say
            y = _C.lerp(y, ordered.narrow(axis, low + 1, 1), place - low)
        y = y.masked_fill(bad, math.nan)
        if keepdim:
            return y.reshape((1,) * x.ndim) if dim is None else y
        return y.squeeze(axis)

    if isinstance(q, (int, float)):
        return one(float(q))
    levels = q.tolist()
    return one(levels) if q.ndim == 0 else _C.stack([one(level) for level in levels])


def _counted(x):
    return x.detach().cpu().numpy()


def _together(op, x, other):
    """DeviceError where two arguments of an operation lie on different devices."""
    if x.device != other.device:
        raise _C.DeviceError(
            f"{op}: expected tensors on one device, got one on {x.device} and one of shape {list(other.shape)} on "
            f"{other.device}; move one with .to(device)"
        )


def _beside(x, array):
    """The array as a tensor on the device of x."""
    return _C.from_numpy(array).to(x.device)


def unique(x, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The different elements (or slices along ``dim``) in ascending order.

    Returns
    -------
    Tensor, or a tuple with the positions that restore x and how often each occurs, where asked for.
    """
    import numpy as np

    values = np.unique(_counted(x), return_inverse=return_inverse, return_counts=return_counts, axis=dim)
    if not (return_inverse or return_counts):
        return _beside(x, values)
    parts = list(values)
    if return_inverse:
        shape = tuple(x.shape) if dim is None else (x.shape[dim],)
        parts[1] = parts[1].reshape(shape).astype(np.int64)
    return tuple(_beside(x, np.ascontiguousarray(p)) for p in parts)


def bincount(x, weights=None, minlength=0):
    """How often each of 0, 1, 2, ... occurs in a vector of integers (or the sum of its weights)."""
    import numpy as np

    if x.ndim != 1:
        raise ValueError(f"bincount: expected a vector, got shape {list(x.shape)}")
    if weights is not None:
        _together("bincount", x, weights)
    values = _counted(x)
    if values.size and values.min() < 0:
        raise ValueError(f"bincount: expected no negative numbers, got {values.min()}")
    counts = np.bincount(values.astype(np.int64), None if weights is None else _counted(weights), minlength)
    return _beside(x, counts if weights is None else counts.astype(_counted(weights).dtype))


def histc(x, bins=100, min=0, max=0):
    """How many elements fall into each of ``bins`` equal parts of [min, max] (the range of x where both are equal)."""
    import numpy as np

    values = _counted(x)
    if bins <= 0:
        raise ValueError(f"histc: expected bins > 0, got {bins}")
    if min == max and values.size:
        min, max = float(values.min()), float(values.max())
    if min == max:
        min, max = min - 1, max + 1
    if not (math.isfinite(min) and math.isfinite(max) and min < max):
        raise ValueError(f"histc: expected a finite range with min < max, got {min} and {max}")
    return _beside(x, np.histogram(values, bins, (min, max))[0].astype(values.dtype))


def searchsorted(sorted_sequence, values, *, right=False, out_int32=False):
    """Where each value would go in ascending sequences to keep their order.

    Parameters
    ----------
    sorted_sequence : Tensor [N] or [..., N]
        With several axes, the leading ones are those of ``values``.
    values : Tensor
    right : bool
        Behind equal elements instead of before them.

    Returns
    -------
    Tensor of int64, or int32 where asked for, with the shape of ``values``
    """
    import numpy as np

    _together("searchsorted", sorted_sequence, values)
    table, v = _counted(sorted_sequence), _counted(values)
    side = "right" if right else "left"
    if table.ndim == 1:
        found = np.searchsorted(table, v, side)
    elif table.shape[:-1] == v.shape[:-1]:
        rows = zip(table.reshape(-1, table.shape[-1]), v.reshape(-1, v.shape[-1]), strict=True)
        found = np.array([np.searchsorted(t, r, side) for t, r in rows]).reshape(v.shape)
    else:
        raise ValueError(
            f"searchsorted: expected the leading axes of {list(table.shape)} and {list(v.shape)} to be the same"
        )
    return _beside(values, np.asarray(found, np.int32 if out_int32 else np.int64))


def bucketize(values, boundaries, *, right=False, out_int32=False):
    """searchsorted with the operands the other way round."""
    _together("bucketize", values, boundaries)
    return searchsorted(boundaries, values, right=right, out_int32=out_int32)


def multinomial(x, num_samples, replacement=False):
    """Indices drawn with probabilities in proportion to x.

    Parameters
    ----------
    x : Tensor [V] or [N, V], float
        Not negative, finite, with a positive sum in every row.
    num_samples : int
    replacement : bool
        Without it every index is drawn once at most, and at least ``num_samples`` weights must not be zero.

    Returns
    -------
    Tensor of int64 [num_samples] or [N, num_samples]

    Notes
    -----
    With replacement by the inverse of the cumulative sum, else the largest of x / e with e exponentially
    distributed (Efraimidis and Spirakis 2006). The weights are looked at: not inside a captured step.
    """
    if x.ndim not in (1, 2):
        raise ValueError(f"multinomial: expected 1 or 2 axes, got shape {list(x.shape)}")
    if num_samples <= 0:
        raise ValueError(f"multinomial: expected num_samples > 0, got {num_samples}")
    x = x.detach()
    if not bool((x.isfinite() & (x >= 0)).all()) or not bool((x.sum(-1) > 0).all()):
        raise ValueError("multinomial: expected weights that are finite, not negative and not all zero")
    if replacement:
        total = x.double().cumsum(-1)
        u = _C.rand((*x.shape[:-1], num_samples), dtype=_C.float64, device=x.device) * total.narrow(
            -1, x.shape[-1] - 1, 1
        )
        index = (total.unsqueeze(-2) <= u.unsqueeze(-1)).to(_C.int64).sum(-1)
        last = (x > 0).to(_C.int64).cumsum(-1).argmax(-1, True)  # rounding must not lead behind the last weight
        return _C.minimum(index, last)
    if int((x > 0).to(_C.int64).sum(-1).amin()) < num_samples:
        raise ValueError(f"multinomial: expected at least {num_samples} weights above zero without replacement")
    e = -(1 - _C.rand(x.shape, dtype=_C.float64, device=x.device)).log()
    keys = (x.double() / e.clamp_min(1e-300)).masked_fill(x == 0, -1.0)
    return keys.topk(num_samples, -1)[1]
