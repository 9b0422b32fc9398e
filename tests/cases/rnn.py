"""Cases of recurrent layers: the equations as loops over rows of time."""

import numpy as np

from cases.case import A, Case, S, torch

BLOCKS = {"tanh": 1, "relu": 1, "lstm": 4, "after": 3, "before": 3, "none": 2}


class Numpy:
    """What the loops need of NumPy; `Torch` is the same of PyTorch."""

    tanh, where, stack, zeros = np.tanh, np.where, np.stack, np.zeros
    cat = staticmethod(lambda parts, dim: np.concatenate(parts, dim))
    relu = staticmethod(lambda x: np.maximum(x, 0))
    sigmoid = staticmethod(lambda x: 1 / (1 + np.exp(-x)))
    mask = staticmethod(lambda m, like: m)


if torch is not None:

    class Torch:
        """The same of PyTorch."""

        tanh, where, stack, cat, relu, sigmoid, zeros = (
            torch.tanh, torch.where, torch.stack, torch.cat, torch.relu, torch.sigmoid, torch.zeros
        )  # fmt: skip
        mask = staticmethod(lambda m, like: torch.from_numpy(m))


def step(lib, kind, a, h, c, w_h, b_h, p):
    """(h', c') of one step: a = x W_x + b_x, the equations of csrc/ops/rnn/rnn.h word for word."""
    n = a.shape[1] // BLOCKS[kind]

    def part(i):
        return a[:, i * n : (i + 1) * n], (h @ w_h + b_h)[:, i * n : (i + 1) * n]

    if kind in ("tanh", "relu"):
        return getattr(lib, kind)(sum(part(0))), c
    if kind == "lstm":
        i, f, g, o = (sum(part(k)) for k in range(4))
        if p is not None:
            i, f = i + p[:n] * c, f + p[n : 2 * n] * c
        c = lib.sigmoid(f) * c + lib.sigmoid(i) * lib.tanh(g)
        if p is not None:
            o = o + p[2 * n :] * c
        return lib.sigmoid(o) * lib.tanh(c), c
    z = lib.sigmoid(sum(part(0 if kind == "none" else 1)))
    a_n, u_n = part(1 if kind == "none" else 2)
    if kind == "after":
        u_n = lib.sigmoid(sum(part(0))) * u_n
    elif kind == "before":
        u_n = ((lib.sigmoid(sum(part(0))) * h) @ w_h + b_h)[:, 2 * n :]
    return (1 - z) * lib.tanh(a_n + u_n) + z * h, c


def loops(
    lib, kind, x, weights, h0=None, c0=None, lengths=None, num_layers=1, bidirectional=False, peepholes=False,
    projection=False, products=False,
):  # fmt: skip
    """Outputs and final states, step by step."""
    rows, times, _ = x.shape
    sets, weights = num_layers * (1 + bidirectional), list(weights)
    each = (len(weights) + products * (1 + bidirectional)) // sets
    for d in range(products * (1 + bidirectional)):
        weights.insert(d * each, None)
    width = weights[1].shape[0]
    lengths = np.full(rows, times) if lengths is None else np.asarray(lengths)
    zero = lib.zeros((rows, width), dtype=x.dtype)
    zero_c = lib.zeros((rows, weights[1].shape[1] // BLOCKS[kind]), dtype=x.dtype)
    h_n, c_n = [], []
    for layer in range(num_layers):
        outputs = []
        for d in range(1 + bidirectional):
            at = layer * (1 + bidirectional) + d
            w = weights[at * each : (at + 1) * each]
            b_x, b_h = w[2:4] if each - peepholes - projection == 4 else (0, 0)
            h, c = (s[at] if s is not None else z for s, z in ((h0, zero), (c0, zero_c)))
            p = w[each - 1 - projection] if peepholes else None
            columns = slice(d * w[1].shape[1], (d + 1) * w[1].shape[1])
            y = [zero] * times
            for t in reversed(range(times)) if d else range(times):
                on = lib.mask((t < lengths)[:, None], x)
                a = x[:, t, columns] if w[0] is None else x[:, t] @ w[0]
                new = step(lib, kind, a + b_x, h, c, w[1], b_h, p)
                if projection:
                    new = new[0] @ w[-1], new[1]
                h, c = (lib.where(on, a, b) for a, b in zip(new, (h, c), strict=True))
                y[t] = lib.where(on, h, zero)
            outputs.append(lib.stack(y, 1) if times else lib.zeros((rows, 0, width), dtype=x.dtype))
            h_n.append(h), c_n.append(c)
        x = lib.cat(outputs, 2)
    return (x, lib.stack(h_n, 0), lib.stack(c_n, 0)) if kind == "lstm" else (x, lib.stack(h_n, 0))


def projected(h):
    """P of a projection from h units."""
    return (h + 1) // 2


def weights(kind, c, h, layers=1, directions=1, bias=True, layout="dense", **options):
    """Arrays of all sets of weights."""
    width, out = BLOCKS[kind] * h, []
    p = projected(h) if options.get("projection") else h
    for layer in range(layers):
        for _ in range(directions):
            inputs = c if layer == 0 else directions * p
            if layer > 0 or not options.get("products"):
                out += [A(inputs, width, kind="unit", layout=layout)]
            out += [A(p, width, kind="unit")]
            out += [A(width), A(width)] if bias else []
            out += [A(3 * h)] if options.get("peepholes") else []
            out += [A(h, p, kind="unit")] if options.get("projection") else []
    return out


def lengths(*values):
    return A(values=values, dtype="int64")


def samples(kind, **options):
    """Sizes, states, lengths, directions and layouts of a cell."""

    def one(n, t, c, h, layers=1, directions=1, bias=True, states=False, lengths=None, layout="dense", **test):
        extra = dict(options)
        if states:
            extra["h0"] = A(layers * directions, n, projected(h) if options.get("projection") else h)
            if kind == "lstm":
                extra["c0"] = A(layers * directions, n, h)
        if layers > 1:
            extra["num_layers"] = layers
        if directions > 1:
            extra["bidirectional"] = True
        if lengths is not None:
            extra["lengths"] = lengths
        sets = weights(kind, c, h, layers, directions, bias, layout, **options)
        columns = directions * BLOCKS[kind] * h if options.get("products") else c
        return S(A(n, t, columns, layout=layout), sets, **extra, **test)

    return [
        one(3, 4, 2, 5),
        one(5, 9, 3, 4, states=True),
        one(2, 3, 4, 17, bias=False, layout="transposed"),
        one(6, 7, 5, 9, directions=2, lengths=lengths(7, 1, 3, 7, 2, 5), states=True),
        one(4, 9, 3, 3, layers=2, directions=2, lengths=lengths(2, 8, 1, 3)),
        one(2, 4, 3, 6, layers=2, states=True, layout="strided"),
        one(1, 5, 3, 2, layout="negative"),
        one(1, 1, 1, 1),
        one(0, 3, 2, 2, _torch=False),
        one(3, 0, 2, 2, states=True, _torch=False),
        one(2, 3, 0, 4, _torch=False),
        one(35, 3, 4, 33, states=True),
        one(40, 9, 31, 70, directions=2, states=True, _threads=True),
        one(120, 5, 16, 48, _threads=True),
    ]


def kind_of(op, options):
    """The cell that a call means; takes the argument that says it out of `options`."""
    if op == "lstm":
        return "lstm"
    return options.pop("nonlinearity", "tanh") if op == "rnn" else options.pop("reset", "after")


def chosen_samples(op, options):
    """All samples; a few where the input is all that differs."""
    every = samples(kind_of(op, dict(options)), **options)
    return every[2:6] if options.get("products") else every


def case(op, *options):
    def in_numpy(x, weights, **arguments):
        return loops(Numpy, kind_of(op, arguments), x, weights, **arguments)

    def in_torch(x, weights, lengths=None, **arguments):
        lengths = None if lengths is None else lengths.numpy()
        return loops(Torch, kind_of(op, arguments), x, weights, lengths=lengths, **arguments)

    return Case(
        op,
        numpy=in_numpy,
        torch=in_torch if torch is not None else None,
        samples=[s for chosen in options for s in chosen_samples(op, chosen)],
        tol32=(1e-5, 1e-5),
        tol64=(1e-12, 1e-12),
        why="sums of up to 70 products a step, nine steps one after the other",
        grad_tol32=(1e-4, 2e-4),
        gradcheck_tol=(5e-5, 1e-5),
    )


CASES = [
    case("rnn", {}, {"nonlinearity": "relu"}),
    case("gru", {}, {"reset": "before"}, {"reset": "none"}, {"products": True}),
    case("lstm", {}, {"peepholes": True}, {"projection": True, "peepholes": True}, {"products": True}),
]
