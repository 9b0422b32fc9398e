"""Functions of tensors that are formulas over other operations: no kernel of their own, gradients from their parts."""

import math

from fastnn import _C, _statistics

__all__ = [
    "addbmm", "addmm", "addmv", "addr", "allclose", "argwhere", "baddbmm", "block_diag", "cartesian_prod", "cdist",
    "cross", "diagflat", "diff", "dist", "dsplit", "einsum", "equal", "hsplit", "index_copy", "index_fill", "inner",
    "is_floating_point", "is_tensor", "isclose", "isin", "kron", "numel", "rot90", "tensor_split", "tensordot",
    "trace", "trapezoid", "tril_indices", "triu_indices", "vdot", "vsplit",
]  # fmt: skip

# Other names of operations, as NumPy and PyTorch have them.
ALIASES = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin", "arcsinh": "asinh", "arctan": "atan",
    "arctan2": "atan2", "arctanh": "atanh", "divide": "div", "fix": "trunc", "ger": "outer", "greater": "gt",
    "greater_equal": "ge", "less": "lt", "less_equal": "le", "multiply": "mul", "negative": "neg", "not_equal": "ne",
    "sgn": "sign", "subtract": "sub", "true_divide": "div",
}  # fmt: skip


def is_tensor(x):
    """True for a fastnn.Tensor."""
    return isinstance(x, _C.Tensor)


def is_floating_point(x):
    """True for float32 and float64."""
    return x.is_floating_point()


def numel(x):
    """The number of elements."""
    return x.numel()


# --- comparison ---------------------------------------------------------------------------------------------------


def isclose(x, other, rtol=1e-5, atol=1e-8, equal_nan=False):
    """abs(x - other) <= atol + rtol abs(other), element by element; equal infinities are close.

    Parameters
    ----------
    x, other : Tensor
        Shapes broadcast.
    rtol, atol : float
        Not negative.
    equal_nan : bool
        Whether two NaN are close.

    Returns
    -------
    Tensor of bool
    """
    if rtol < 0 or atol < 0:
        raise ValueError(f"isclose: expected rtol and atol >= 0, got {rtol} and {atol}")
    if not isinstance(other, _C.Tensor):
        fraction = isinstance(other, float) and not x.is_floating_point()
        other = _C.tensor(other, dtype=_C.float64 if fraction else x.dtype)
    close = x == other
    if equal_nan and x.is_floating_point():
        close = close | (x.isnan() & other.isnan())
    if x.is_floating_point() or other.is_floating_point():
        off = (x - other).abs()
        return close | (off.isfinite() & (off <= atol + (rtol * other).abs()))
    off = (x.double() - other.double()).abs()
    return close | (off <= atol + (rtol * other.double()).abs())


def allclose(x, other, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Whether all elements are close (see isclose). Reads the result: not inside a captured step."""
    return bool(isclose(x, other, rtol, atol, equal_nan).all())


def equal(x, other):
    """Whether shapes and all elements are the same. Reads the result: not inside a captured step."""
    return tuple(x.shape) == tuple(other.shape) and bool((x == other).all())


def isin(elements, test_elements, invert=False):
    """Which elements occur in ``test_elements``; bool, the shape of ``elements``."""
    found = (elements.reshape(-1, 1) == test_elements.reshape(1, -1)).any(1).reshape(elements.shape)
    return ~found if invert else found


# --- products -----------------------------------------------------------------------------------------------------


def _scaled_sum(x, product, beta, alpha):
    if alpha != 1:
        product = product * alpha
    if beta == 0:  # NaN and infinity in x do not count then
        return product
    return (x if beta == 1 else x * beta) + product


def _ranks(op, *wanted):
    for name, tensor, rank in wanted:
        if tensor.ndim != rank:
            raise ValueError(f"{op}: expected {name} with {rank} axes, got shape {list(tensor.shape)}")


def addmm(x, mat1, mat2, *, beta=1, alpha=1):
    """beta x + alpha mat1 @ mat2; x broadcasts to [M, N] and is not read where beta is 0."""
    _ranks("addmm", ("mat1", mat1, 2), ("mat2", mat2, 2))
    return _scaled_sum(x, mat1 @ mat2, beta, alpha)


def addmv(x, mat, vec, *, beta=1, alpha=1):
    """beta x + alpha mat @ vec."""
    _ranks("addmv", ("mat", mat, 2), ("vec", vec, 1))
    return _scaled_sum(x, mat @ vec, beta, alpha)


def addr(x, vec1, vec2, *, beta=1, alpha=1):
    """beta x + alpha times the outer product of two vectors."""
    _ranks("addr", ("vec1", vec1, 1), ("vec2", vec2, 1))
    return _scaled_sum(x, _C.outer(vec1, vec2), beta, alpha)


def baddbmm(x, batch1, batch2, *, beta=1, alpha=1):
    """beta x + alpha batch1 @ batch2, matrix by matrix."""
    _ranks("baddbmm", ("batch1", batch1, 3), ("batch2", batch2, 3))
    return _scaled_sum(x, _C.bmm(batch1, batch2), beta, alpha)


def addbmm(x, batch1, batch2, *, beta=1, alpha=1):
    """beta x + alpha times the sum of the products of all pairs of matrices."""
    _ranks("addbmm", ("batch1", batch1, 3), ("batch2", batch2, 3))
    return _scaled_sum(x, _C.bmm(batch1, batch2).sum(0), beta, alpha)


def inner(x, other):
    """Sums of products over the last axis of both."""
    if x.ndim == 0 or other.ndim == 0:
        return x * other
    return tensordot(x, other, ([-1], [-1]))


def vdot(x, other):
    """The product of two vectors."""
    return _C.dot(x, other)


def trace(x):
    """The sum of the diagonal of a matrix."""
    _ranks("trace", ("x", x, 2))
    return x.diagonal().sum()


def kron(x, other):
    """The Kronecker product: every element of x times the whole of ``other``."""
    n = max(x.ndim, other.ndim)
    a, b = ((1,) * (n - t.ndim) + tuple(t.shape) for t in (x, other))
    left = x.reshape([v for s in a for v in (s, 1)])
    right = other.reshape([v for s in b for v in (1, s)])
    return (left * right).reshape([p * q for p, q in zip(a, b, strict=True)])


def cross(x, other, dim=-1):
    """The vector product of 3-vectors along ``dim``."""
    if x.shape[dim] != 3 or other.shape[dim] != 3:
        raise ValueError(f"cross: expected size 3 along dim {dim}, got {list(x.shape)} and {list(other.shape)}")
    return x.roll(-1, dim) * other.roll(-2, dim) - x.roll(-2, dim) * other.roll(-1, dim)


def dist(x, other, p=2):
    """The p-norm of all elements of x - other."""
    return (x - other).norm(p)


def cdist(x1, x2, p=2.0):
    """The p-norms between all pairs of rows: [..., P, M] and [..., R, M] give [..., P, R]."""
    return (x1.unsqueeze(-2) - x2.unsqueeze(-3)).norm(p, -1)


def tensordot(a, b, dims=2):
    """Sums of products over several axes.

    Parameters
    ----------
    a, b : Tensor
    dims : int or (sequence of int, sequence of int)
        The last ``dims`` axes of a with the first of b, or which axis of a meets which of b.
    """
    if isinstance(dims, int):
        if not 0 <= dims <= min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: expected 0 <= dims <= {min(a.ndim, b.ndim)}, got {dims}")
        left, right = list(range(a.ndim - dims, a.ndim)), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else list(d) for d in dims)
    for axes, t in ((left, a), (right, b)):
        if any(not -t.ndim <= d < t.ndim for d in axes):
            raise IndexError(f"tensordot: expected axes from {-t.ndim} to {t.ndim - 1}, got {axes}")
    left, right = [d % a.ndim for d in left], [d % b.ndim for d in right]
    if len(set(left)) != len(left) or len(set(right)) != len(right):
        raise ValueError(f"tensordot: expected every axis once, got {left} and {right}")
    if [a.shape[d] for d in left] != [b.shape[d] for d in right]:
        raise ValueError(
            f"tensordot: axes {left} of {list(a.shape)} do not match axes {right} of {list(b.shape)} in size"
        )
    rows = [d for d in range(a.ndim) if d not in left]
    columns = [d for d in range(b.ndim) if d not in right]
    k = math.prod(a.shape[d] for d in left)
    x = a.permute(rows + left).reshape(math.prod(a.shape[d] for d in rows), k)
    y = b.permute(right + columns).reshape(k, math.prod(b.shape[d] for d in columns))
    return (x @ y).reshape([a.shape[d] for d in rows] + [b.shape[d] for d in columns])


def einsum(equation, *operands):
    """Sums of products in Einstein's notation, pair after pair as matrix products.

    Parameters
    ----------
    equation : str
        As in NumPy: 'ij,jk->ik', 'bhtd,bhsd->bhts', 'ii', '...ij->...ji'. Without '->' the letters that occur once
        are the result, in alphabetical order.
    operands : Tensors

    Raises
    ------
    ValueError
        If the equation does not fit the operands.

    Examples
    --------
    >>> fastnn.einsum("bi,ij,bj->b", x, w, y)
    """
    from fastnn import _einsum

    return _einsum.einsum(equation, *operands)


# --- parts and arrangements ---------------------------------------------------------------------------------------


def tensor_split(x, indices_or_sections, dim=0):
    """Views of x cut along ``dim`` into n nearly equal parts, or at the given positions."""
    size = x.shape[dim]
    if isinstance(indices_or_sections, int):
        n = indices_or_sections
        if n <= 0:
            raise ValueError(f"tensor_split: expected at least one section, got {n}")
        cuts = [size // n * i + min(i, size % n) for i in range(n + 1)]
    else:
        cuts = [0, *indices_or_sections, size]
    bounds = [max(0, min(size, c + size if c < 0 else c)) for c in cuts]
    return tuple(x.narrow(dim, lo, max(0, hi - lo)) for lo, hi in zip(bounds, bounds[1:], strict=False))


def hsplit(x, indices_or_sections):
    """tensor_split along the columns (the only axis of a vector)."""
    return tensor_split(x, indices_or_sections, 0 if x.ndim == 1 else 1)


def vsplit(x, indices_or_sections):
    """tensor_split along the rows."""
    return tensor_split(x, indices_or_sections, 0)


def dsplit(x, indices_or_sections):
    """tensor_split along the third axis."""
    return tensor_split(x, indices_or_sections, 2)


def rot90(x, k=1, dims=(0, 1)):
    """x turned k times by a quarter, from the first of ``dims`` towards the second."""
    a, b = dims
    k %= 4
    if k == 0:
        return x.clone()
    if k == 2:
        return x.flip((a, b))
    return x.flip(b).transpose(a, b) if k == 1 else x.flip(a).transpose(a, b)


def diff(x, n=1, dim=-1):
    """Differences of neighbours along ``dim``, n times."""
    for _ in range(n):
        size = x.shape[dim]
        x = x.narrow(dim, 1, max(0, size - 1)) - x.narrow(dim, 0, max(0, size - 1)) if size else x
    return x


def trapezoid(y, x=None, *, dx=1.0, dim=-1):
    """The integral of y along ``dim`` by the trapezoidal rule, at the points x or dx apart."""
    size = y.shape[dim]
    pairs = (y.narrow(dim, 1, max(0, size - 1)) + y.narrow(dim, 0, max(0, size - 1))) / 2
    return (pairs * (dx if x is None else diff(x))).sum(dim)


def diagflat(x, offset=0):
    """A matrix with the elements of x on its diagonal."""
    return _C.diag_embed(x.reshape(-1), offset)


def block_diag(*tensors):
    """A matrix with the given matrices (vectors, numbers) along its diagonal, zero elsewhere."""
    blocks = [t.reshape(1, -1) if t.ndim < 2 else t for t in tensors]
    columns, rows, done = sum(b.shape[1] for b in blocks), [], 0
    for b in blocks:
        rows.append(_C.pad(b, (done, columns - done - b.shape[1])))
        done += b.shape[1]
    return _C.cat(rows)


def cartesian_prod(*tensors):
    """All combinations of the elements of vectors, one a row; the last vector changes fastest."""
    if len(tensors) == 1:
        return tensors[0].clone()
    return _C.stack([g.reshape(-1) for g in _C.meshgrid(*tensors, indexing="ij")], 1)


def tril_indices(row, col, offset=0):
    """Rows and columns of the lower triangle of a row x col matrix, int64 [2, n]."""
    return _C.tril(_C.ones((row, col)), offset).nonzero().t()


def triu_indices(row, col, offset=0):
    """Rows and columns of the upper triangle of a row x col matrix, int64 [2, n]."""
    return _C.triu(_C.ones((row, col)), offset).nonzero().t()


def argwhere(x):
    """The positions of elements that are not zero, int64 [n, x.ndim]."""
    return x.nonzero()


def _place(op, x, dim, index):
    if not -max(1, x.ndim) <= dim < max(1, x.ndim):
        raise IndexError(f"{op}: expected dim from {-max(1, x.ndim)} to {max(1, x.ndim) - 1}, got {dim}")
    if index.ndim > 1:
        raise ValueError(f"{op}: expected a vector of positions, got shape {list(index.shape)}")
    return (slice(None),) * (dim % max(1, x.ndim)) + (index.reshape(-1),)


def index_fill(x, dim, index, value):
    """A copy of x with ``value`` at the given positions along ``dim``."""
    y = x.clone()
    y[_place("index_fill", x, dim, index)] = value
    return y


def index_copy(x, dim, index, source):
    """A copy of x with the slices of ``source`` at the given positions along ``dim``."""
    place = _place("index_copy", x, dim, index)
    shape = list(x.shape)
    shape[dim] = index.numel()
    if list(source.shape) != shape:
        raise ValueError(f"index_copy: expected a source of shape {shape}, got {list(source.shape)}")
    y = x.clone()
    y[place] = source
    return y


def complete(namespace):
    """Puts these functions and other names of operations into the package, and as methods onto the tensor."""
    functions = {name: globals()[name] for name in __all__}
    functions.update({name: getattr(_statistics, name) for name in _statistics.__all__})
    names = list(functions)
    namespace.update(functions)
    for alias, name in ALIASES.items():
        if hasattr(_C, name):
            namespace[alias] = getattr(_C, name)
            names.append(alias)
        if hasattr(_C.Tensor, name) and not hasattr(_C.Tensor, alias):
            setattr(_C.Tensor, alias, getattr(_C.Tensor, name))
    apart = {"bucketize", "cartesian_prod", "einsum", "is_tensor", "searchsorted", "tensordot", "block_diag",
             "tril_indices", "triu_indices", "cdist", "trapezoid", "std_mean"}  # fmt: skip
    for name, function in functions.items():
        if name not in apart and not hasattr(_C.Tensor, name):
            setattr(_C.Tensor, name, function)
    return names
