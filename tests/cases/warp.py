"""Cases of affine maps of images; the reference reads one cell after the other."""

import numpy as np

from cases.case import A, Case, S, torch
from fastnn.vision import ops

WEIGHTS = {
    "nearest": lambda t: [1.0],
    "bilinear": lambda t: [1 - t, t],
    "bicubic": lambda t: [keys(1 + t), keys(t), keys(1 - t), keys(2 - t)],
}


def keys(d):
    """Keys' kernel, a = -3/4."""
    a = -0.75
    return (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * (d**3 - 5 * d**2 + 8 * d - 4)


def affine_warp(x, matrix, size=None, mode="bilinear", border="constant", fill=0.0):
    n, h, w, c = x.shape
    rows, columns = (h, w) if size is None else size
    matrix = np.broadcast_to(matrix, (n, 2, 3))
    y = np.zeros((n, rows, columns, c))

    def cell(image, i, j):
        if border == "constant" and not (0 <= i < h and 0 <= j < w):
            return np.full(c, fill)
        for axis, size in ((0, h), (1, w)):
            at = (i, j)[axis]
            if border == "edge":
                at = min(max(at, 0), size - 1)
            elif border == "reflect":
                at = abs((at + size - 1) % max(2 * size - 2, 1) - size + 1)
            elif border == "symmetric":
                at = at % (2 * size)
                at = min(at, 2 * size - 1 - at)
            i, j = (at, j) if axis == 0 else (i, at)
        return image[i, j]

    for k in range(n):
        for i in range(rows):
            for j in range(columns):
                u, v = matrix[k] @ (j, i, 1)
                if not (np.isfinite(u) and np.isfinite(v)):
                    y[k, i, j] = fill
                    continue
                shift = 0.5 if mode == "nearest" else 0
                a, b = int(np.floor(v + shift)), int(np.floor(u + shift))
                first = 1 if mode == "bicubic" else 0
                for p, wy in enumerate(WEIGHTS[mode](v - a)):
                    for q, wx in enumerate(WEIGHTS[mode](u - b)):
                        if wy * wx != 0:
                            y[k, i, j] += wy * wx * cell(x[k], a + p - first, b + q - first)
    return np.clip(np.floor(y + 0.5), 0, 255).astype(np.uint8) if np.issubdtype(x.dtype, np.integer) else y


def in_torch(x, matrix, size=None, mode="bilinear", border="constant", fill=0.0):
    """grid_sample: positions as shares of the image, its cells' edges at -1 and 1."""
    n, h, w, _ = x.shape
    rows, columns = (h, w) if size is None else size
    m = torch.as_tensor(np.broadcast_to(np.asarray(matrix), (n, 2, 3)).copy()).to(x.dtype)
    j, i = torch.meshgrid(torch.arange(columns), torch.arange(rows), indexing="xy")
    places = torch.stack([j, i, torch.ones_like(i)], -1).to(x.dtype)
    at = torch.einsum("nab,ijb->nija", m, places)
    grid = (2 * at + 1) / torch.tensor([w, h], dtype=x.dtype) - 1
    padding = {"constant": "zeros", "edge": "border", "symmetric": "reflection"}[border]
    y = torch.nn.functional.grid_sample(x.movedim(-1, 1), grid, mode, padding, align_corners=False)
    return y.movedim(1, -1)


RNG = np.random.default_rng(3)
TURNED = np.tile(np.eye(2, 3), (2, 1, 1)) + RNG.normal(0, 0.3, (2, 2, 3)) + [[0, 0, 1.3], [0, 0, -0.7]]
MIRRORED = np.array([[[-1, 0, 8], [0, 1, 0]], [[1, 0, -2], [0, -1, 5]]], float)
BORDERS = ("constant", "edge", "reflect", "symmetric")


def fixed(m):
    return A(values=m, dtype="float64", grad=False)


def samples():
    image, out = (2, 7, 9, 3), []
    for mode in WEIGHTS:
        for border in BORDERS:
            # PyTorch mirrors bicubic cells and nearest ones at another place, and knows no reflect on cell centres.
            known = border in ("constant", "edge") or (border == "symmetric" and mode == "bilinear")
            o = {"mode": mode, "border": border}
            out += [S(A(*image), fixed(TURNED), **o, _torch=known and mode != "nearest"),
                    S(A(*image), fixed(MIRRORED), **o, _torch=False),
                    S(A(*image), fixed(TURNED * 3), (4, 5), **o, _torch=False)]  # fmt: skip
        out.append(S(A(*image), fixed(TURNED), (3, 4), mode=mode, fill=0.7, _torch=False))
        out.append(S(A(*image, dtype="uint8", high=256), fixed(TURNED), mode=mode, fill=9.0, _torch=False))
        out.append(S(A(*image, dtype="uint8", high=256), fixed(MIRRORED), mode=mode, border="edge", _torch=False))
        out.append(S(A(1, 1, 1, 2), fixed(TURNED[:1]), (3, 3), mode=mode, border="reflect", _torch=False))
        out.append(S(A(2, 41, 53, 70), fixed(TURNED), (61, 67), mode=mode, border="edge", _threads=True))
    out += [S(A(*image, layout=layout), fixed(TURNED)) for layout in ("transposed", "strided", "negative", "offset")]
    out += [S(A(1, 5, 6, 130), fixed(TURNED[:1])), S(A(0, 4, 4, 2), A(0, 2, 3, dtype="float64", grad=False))]
    out.append(S(A(2, 5, 6, 0), fixed(TURNED), _torch=False))
    strange = np.array([[[np.nan, 0, 0], [0, 1, 0]], [[1, 0, np.inf], [0, 1, 0]]])
    out.append(S(A(2, 4, 4, 2), fixed(strange), fill=3.0, border="edge", _torch=False))
    return out


CASES = [
    Case("affine_warp", call=ops.affine_warp, numpy=affine_warp, torch=in_torch, samples=samples(),
         tol32=(1e-5, 2e-6), tol64=(1e-12, 1e-12), grad_tol32=(1e-4, 1e-4),
         why="weights of up to sixteen cells are rounded; PyTorch's positions are float32"),
]  # fmt: skip
