"""Cases of resizing; the reference blends or picks along one axis after another."""

import numpy as np

from cases.case import A, Case, S, torch
from cases.pool import adaptive_pool
from cases.warp import keys

BLENDS = ("linear", "bilinear", "trilinear")


def along(x, axis, out, scale, mode, align):
    """One axis at another resolution."""
    size = x.shape[axis]
    o = np.arange(out)
    if mode == "bicubic":
        at = o * scale if align else (o + 0.5) * scale - 0.5
        low = np.floor(at).astype(int)
        cells = low[:, None] + np.arange(-1, 3)
        weights = np.vectorize(keys)(np.abs(at[:, None] - cells))
        taken = np.take(x, np.clip(cells, 0, size - 1), axis)
        weights = weights.reshape([{axis: out, axis + 1: 4}.get(i, 1) for i in range(x.ndim + 1)])
        return (taken * weights).sum(axis + 1)
    if mode not in BLENDS:
        at = np.floor((o if mode == "nearest" else o + 0.5) * scale + 1e-9)
        return np.take(x, np.minimum(at, size - 1).astype(int), axis)
    at = o * scale if align else np.maximum((o + 0.5) * scale - 0.5, 0)
    if size == out:
        at = o.astype(float)
    low = np.minimum(np.floor(at), size - 1).astype(int)
    share = np.minimum(at - low, 1).reshape([-1 if i == axis else 1 for i in range(x.ndim)])
    high = np.minimum(low + 1, size - 1)
    return np.take(x, low, axis) * (1 - share) + np.take(x, high, axis) * share


def interpolate(x, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None):
    rank = x.ndim - 2
    per_axis = [None] * rank
    if scale_factor is not None:
        per_axis = [scale_factor] * rank if np.ndim(scale_factor) == 0 else list(scale_factor)
        size = [int(np.floor(n * f)) for n, f in zip(x.shape[1:-1], per_axis, strict=True)]
    sizes = [size] * rank if np.ndim(size) == 0 else list(size)
    if mode == "area":
        return adaptive_pool(rank, lambda v, flat, _: (v.sum(0) / len(flat), 0))(x, sizes)
    for i, (out, factor) in enumerate(zip(sizes, per_axis, strict=True)):
        n = x.shape[1 + i]
        scale = n / out if factor is None or recompute_scale_factor else 1 / factor
        if align_corners:
            scale = (n - 1) / (out - 1) if out > 1 else 0
        x = along(x, 1 + i, out, scale, mode, bool(align_corners))
    return x


def in_torch(x, **kwargs):
    y = torch.nn.functional.interpolate(x.movedim(-1, 1), **kwargs)
    return y.movedim(1, -1)


SHAPES = {1: [(2, 7, 3), (1, 1, 17), (2, 20, 1)], 2: [(2, 5, 7, 3), (1, 4, 4, 33), (1, 1, 6, 2)],
          3: [(1, 3, 4, 5, 3), (2, 2, 2, 2, 17)]}  # fmt: skip
SIZES = {1: [14, 1, (5,), 11], 2: [(10, 14), (3, 2), 1, (4, 9)], 3: [(6, 8, 10), (2, 5, 3), 1]}
FACTORS = {1: [2.0, 0.5, 1.7], 2: [2, (1.5, 2.5), (3.0, 1.0)], 3: [2.0, (1.0, 2.5, 1.5)]}
LAYOUTS = ("transposed", "strided", "negative", "offset", "expanded")


def samples():
    out = []
    for rank, shapes in SHAPES.items():
        for shape in shapes:
            options = [{"size": s} for s in SIZES[rank]]
            options += [{"scale_factor": f} for f in FACTORS[rank] if np.min(f) >= 1 or shape[1] > 1]
            for o in options:
                out += [S(A(*shape), **o), S(A(*shape), **o, mode="nearest-exact"), S(A(*shape), **o, mode="area")]
                out += [S(A(*shape), **o, mode=BLENDS[rank - 1], align_corners=a) for a in (False, True)]
            if rank == 2:
                out += [S(A(*shape), **o, mode="bicubic", align_corners=a) for o in options for a in (False, True)]
            factor = {"scale_factor": FACTORS[rank][-1], "recompute_scale_factor": True}
            out += [S(A(*shape), **factor, mode=m) for m in ("nearest", BLENDS[rank - 1])]
    out += [S(A(2, 5, 7, 3, layout=layout), size=(7, 5), mode=m) for layout in LAYOUTS for m in ("nearest", "bilinear")]
    out += [S(A(0, 4, 4, 2), size=3, _torch=False), S(A(1, 4, 4, 0), size=(5, 3), mode="bilinear", _torch=False)]
    out += [S(A(2, 61, 67, 33), size=(97, 101), mode=m, _threads=True) for m in ("nearest", "bilinear", "bicubic")]
    out += [S(A(2, 61, 67, 33), size=(17, 11), mode="bilinear", _threads=True)]
    return out


CASES = [
    Case("interpolate", numpy=interpolate, torch=in_torch, samples=samples(), tol32=(2e-6, 4e-6), tol64=(1e-13, 1e-13),
         why="positions are rounded in float32 before they become shares"),
]  # fmt: skip
