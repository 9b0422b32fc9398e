"""Einstein's notation as matrix products."""

import math

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _parse(equation, operands):
    """Letters of every operand and of the result, with letters put in for '...'."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(operands):
        raise ValueError(f"einsum: '{equation}' names {len(terms)} operands, got {len(operands)}")
    spare = [c for c in _LETTERS if c not in text]
    dots = 0
    for term, x in zip(terms, operands, strict=True):
        named = term.replace("...", "", 1)
        if any(c not in _LETTERS for c in named):
            raise ValueError(f"einsum: expected letters, commas, '...' and '->', got '{equation}'")
        extra = x.ndim - len(named)
        if extra < 0 or (extra and "..." not in term):
            raise ValueError(f"einsum: '{term}' does not fit an operand of shape {list(x.shape)}")
        dots = max(dots, extra if "..." in term else 0)
    common = "".join(spare[:dots])

    def fill(term, count):
        return term.replace("...", common[dots - count :] if count else "")

    filled = [fill(t, x.ndim - len(t.replace("...", ""))) for t, x in zip(terms, operands, strict=True)]
    if arrow:
        result = fill(right, dots)
        if any(c not in _LETTERS for c in result):
            raise ValueError(f"einsum: expected letters, commas, '...' and '->', got '{equation}'")
    else:
        letters = "".join(filled)
        result = common + "".join(sorted(c for c in set(letters) - set(common) if letters.count(c) == 1))
    unknown = [c for c in result if not any(c in t for t in filled)]
    if unknown or len(set(result)) != len(result):
        raise ValueError(f"einsum: every letter of the result must occur once there and in an operand: '{equation}'")
    return filled, result


def _diagonals(x, term):
    """x with one axis a letter: repeated letters become diagonals."""
    while len(set(term)) != len(term):
        for i, c in enumerate(term):
            j = term.find(c, i + 1)
            if j >= 0:
                if x.shape[i] != x.shape[j]:
                    raise ValueError(f"einsum: axes '{c}' have sizes {x.shape[i]} and {x.shape[j]}")
                x = x.diagonal(0, i, j)
                term = term[:i] + term[i + 1 : j] + term[j + 1 :] + c
                break
    return x, term


def _sum_out(x, term, keep):
    """x without the letters that nobody asks for any more."""
    gone = [i for i, c in enumerate(term) if c not in keep]
    if gone:
        x = x.sum(gone)
    return x, "".join(c for c in term if c in keep)


def _pair(x, tx, y, ty, keep):
    """The product of two operands as one batched matrix product, summed over the letters not in `keep`."""
    size = {}
    for t, term in ((x, tx), (y, ty)):
        for c, n in zip(term, t.shape, strict=True):
            if size.get(c, 1) not in (1, n) and n != 1:
                raise ValueError(f"einsum: axes '{c}' have sizes {size[c]} and {n}")
            size[c] = max(size.get(c, 1), n) if n else 0
    # An axis of size 1 that meets a longer one broadcasts: it is not an axis of that operand.
    for_x = [c for c, n in zip(tx, x.shape, strict=True) if n == size[c]]
    for_y = [c for c, n in zip(ty, y.shape, strict=True) if n == size[c]]
    x = x.reshape([size[c] for c in for_x])
    y = y.reshape([size[c] for c in for_y])
    x, tx = _sum_out(x, "".join(for_x), set(keep) | set(for_y))
    y, ty = _sum_out(y, "".join(for_y), set(keep) | set(tx))
    batch = [c for c in tx if c in ty and c in keep]
    inner = [c for c in tx if c in ty and c not in keep]
    rows = [c for c in tx if c not in ty]
    columns = [c for c in ty if c not in tx]

    def shape(*groups):
        return [math.prod(size[c] for c in group) for group in groups]

    a = x.permute([tx.index(c) for c in batch + rows + inner]).reshape(shape(batch, rows, inner))
    b = y.permute([ty.index(c) for c in batch + inner + columns]).reshape(shape(batch, inner, columns))
    letters = batch + rows + columns
    return (a @ b).reshape([size[c] for c in letters]), "".join(letters)


def einsum(equation, *operands):
    """See fastnn.einsum."""
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not operands:
        raise ValueError("einsum: expected at least one operand")
    terms, result = _parse(equation, operands)
    pairs = [_diagonals(x, t) for x, t in zip(operands, terms, strict=True)]
    x, term = pairs[0]
    for i, (y, other) in enumerate(pairs[1:], 2):
        later = {c for _, t in pairs[i:] for c in t} | set(result)
        x, term = _pair(x, term, y, other, later)
    x, term = _sum_out(x, term, set(result))
    return x.permute([term.index(c) for c in result]) if term != result else x
