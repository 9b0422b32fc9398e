"""Convolutions: forward, and forward + backward (gradients of input, weight and bias).

Images are ``[N, H, W, C]`` here; peers get them in the layout they are faster in, weights in their own.
"""

import numpy as np
from case import Case, fastest, gradient, sum_bound

TITLE = "Convolutions, float32"
LIBS = ["fastnn", "torch", "jax", "onnxruntime"]


# name, batch, channels in, sizes, channels out, kernel, stride, padding, dilation, groups, transposed
ROWS = [
    ("lenet1 b64 1x28x28->6 5x5", 64, 1, (28, 28), 6, 5, 1, 0, 1, 1, False),
    ("lenet2 b64 6x14x14->16 5x5", 64, 6, (14, 14), 16, 5, 1, 0, 1, 1, False),
    ("cifar b64 16x32x32->16 3x3", 64, 16, (32, 32), 16, 3, 1, 1, 1, 1, False),
    ("vgg b8 64x56x56->64 3x3", 8, 64, (56, 56), 64, 3, 1, 1, 1, 1, False),
    ("vgg b8 128x28x28->128 3x3", 8, 128, (28, 28), 128, 3, 1, 1, 1, 1, False),
    ("vgg b8 256x14x14->256 3x3", 8, 256, (14, 14), 256, 3, 1, 1, 1, 1, False),
    ("vgg b8 512x7x7->512 3x3", 8, 512, (7, 7), 512, 3, 1, 1, 1, 1, False),
    ("stem b8 3x224x224->64 7x7s2", 8, 3, (224, 224), 64, 7, 2, 3, 1, 1, False),
    ("1x1 b8 256x56x56->64", 8, 256, (56, 56), 64, 1, 1, 0, 1, 1, False),
    ("depthwise b8 64x56x56 3x3", 8, 64, (56, 56), 64, 3, 1, 1, 1, 64, False),
    ("dilated b8 64x56x56->64 3x3d2", 8, 64, (56, 56), 64, 3, 1, 2, 2, 1, False),
    ("conv1d b16 64x1000->128 k5", 16, 64, (1000,), 128, 5, 1, 2, 1, 1, False),
    ("transposed b8 64x14x14->32 k4s2p1", 8, 64, (14, 14), 32, 4, 2, 1, 1, 1, True),
]


def _out(p):
    if p["transposed"]:
        return tuple((n - 1) * p["s"] - 2 * p["pad"] + p["k"] for n in p["size"])
    return tuple((n + 2 * p["pad"] - p["d"] * (p["k"] - 1) - 1) // p["s"] + 1 for n in p["size"])


def _cases():
    for name, n, c, size, f, k, s, pad, d, groups, transposed in ROWS:
        p = {"n": n, "c": c, "size": size, "f": f, "k": k, "s": s, "pad": pad, "d": d, "groups": groups}
        p |= {"transposed": transposed, "backward": False}
        out = _out(p)
        flops = 2.0 * n * c // groups * f * k ** len(size) * np.prod(size if transposed else out)
        bytes_ = 4.0 * n * (c * np.prod(size) + f * np.prod(out))
        yield Case(name, p, flops=flops, nbytes=bytes_, traffic="copy")
        yield Case(name + " fwd+bwd", {**p, "backward": True}, flops=3 * flops, nbytes=3 * bytes_, traffic="copy")


CASES = list(_cases())


def tiny(p):
    size = tuple(min(n, 9) for n in p["size"])
    c, f = min(p["c"], 4), min(p["f"], 4)
    return {**p, "n": 1, "size": size, "c": c, "f": f, "groups": min(p["groups"], c)}


def inputs(p, rng):
    axes = len(p["size"])
    shape = (p["c"], p["f"]) if p["transposed"] else (p["c"] // p["groups"], p["f"])
    v = {
        "x": rng.standard_normal((p["n"], *p["size"], p["c"]), dtype=np.float32),
        "w": rng.standard_normal((p["k"],) * axes + shape, dtype=np.float32) * np.float32(0.05),
        "b": rng.standard_normal(p["f"], dtype=np.float32),
    }
    if p["backward"]:
        v["g"] = rng.standard_normal((p["n"], *_out(p), p["f"]), dtype=np.float32)
    return v


def _define(p, x, w, b):
    """The definition in float64, as fastnn computes it in its reference type."""
    import fastnn
    import fastnn.nn.functional as F

    axes = len(p["size"])
    x, w, b = (fastnn.tensor(a, dtype="float64", requires_grad=True) for a in (x, w, b))
    columns = p["k"] ** axes
    if p["transposed"]:
        y = F.col2im(
            x @ w.reshape(columns, p["c"], p["f"]).permute(1, 0, 2).reshape(p["c"], columns * p["f"]),
            _out(p), p["k"], p["s"], p["pad"], p["d"],
        )  # fmt: skip
    else:
        y = F.im2col(x, p["k"], p["s"], p["pad"], p["d"])
        if p["groups"] == 1:
            y = y @ w.reshape(-1, p["f"])
        else:  # depthwise
            y = (y.reshape(*y.shape[:-1], columns, p["c"]) * w.reshape(columns, p["c"])).sum(-2)
    return (x, w, b), y + b


def reference(p, v, lib):
    magnitude = {k: np.abs(a) for k, a in v.items()}
    leaves, y = _define(p, v["x"], v["w"], v["b"])
    sizes, bound = _define(p, magnitude["x"], magnitude["w"], magnitude["b"])
    terms = p["k"] ** len(p["size"]) * max(p["c"] // p["groups"], p["f"] // p["groups"])
    # Peers may transform tiles of 3x3 windows, which costs them a few bits more.
    room = 8 if p["k"] == 3 else 1
    if not p["backward"]:
        return [(y.detach().numpy(), room * sum_bound(terms, bound.detach().numpy()))]
    import fastnn

    y.backward(fastnn.tensor(v["g"], dtype="float64"))
    bound.backward(fastnn.tensor(magnitude["g"], dtype="float64"))
    counts = (terms, p["n"] * np.prod(_out(p)), p["n"] * np.prod(_out(p)))
    return [
        (leaf.grad.numpy(), room * sum_bound(int(n), size.grad.numpy()))
        for leaf, size, n in zip(leaves, sizes, counts, strict=True)
    ]


def _fastnn(p, v, threads):
    import fastnn
    import fastnn.nn.functional as F

    axes = len(p["size"])
    f = getattr(F, f"conv{'_transpose' if p['transposed'] else ''}{axes}d")
    kw = dict(stride=p["s"], padding=p["pad"], dilation=p["d"], groups=p["groups"])
    x, w, b = (fastnn.from_numpy(v[k]) for k in "xwb")
    if not p["backward"]:
        return lambda: f(x, w, b, **kw)
    leaves = [t.requires_grad_() for t in (x, w, b)]
    return gradient(leaves, lambda: f(*leaves, **kw), fastnn.from_numpy(v["g"]))


def _torch(p, v, threads):
    import torch
    import torch.nn.functional as F

    axes = len(p["size"])
    f = getattr(F, f"conv{'_transpose' if p['transposed'] else ''}{axes}d")
    kw = dict(stride=p["s"], padding=p["pad"], dilation=p["d"], groups=p["groups"])

    def layout(last):
        order = (-2, -1) if p["transposed"] else (-1, -2)
        x, w, b = torch.from_numpy(v["x"]).movedim(-1, 1), torch.from_numpy(v["w"]), torch.from_numpy(v["b"])
        w = w.movedim(order, (0, 1)).contiguous()
        g = torch.from_numpy(v["g"]).movedim(-1, 1) if p["backward"] else None
        if last:
            w = w.to(memory_format=torch.channels_last)
        else:
            x, g = x.contiguous(), g.contiguous() if p["backward"] else None
        if not p["backward"]:

            def run():
                with torch.inference_mode():
                    return f(x, w, b, **kw)

            run.result = lambda: run().movedim(1, -1)
            return run
        leaves = [t.requires_grad_() for t in (x, w, b)]
        run = gradient(leaves, lambda: f(*leaves, **kw), g)
        run.result = lambda: [x.grad.movedim(1, -1), w.grad.movedim((0, 1), order), b.grad]
        return run

    if axes == 1:
        return layout(False)
    return fastest(NCHW=layout(False), NHWC=layout(True))


def _jax(p, v, threads):
    import jax
    import jax.numpy as jnp

    axes, k, s, pad, d = len(p["size"]), p["k"], p["s"], p["pad"], p["d"]
    letters = "HW"[-axes:]
    if p["transposed"]:
        kw = dict(window_strides=(1,) * axes, padding=[(k - 1 - pad,) * 2] * axes, lhs_dilation=(s,) * axes)
    else:
        kw = dict(window_strides=(s,) * axes, padding=[(pad, pad)] * axes, rhs_dilation=(d,) * axes)
        kw["feature_group_count"] = p["groups"]

    def layout(last):
        to = (lambda a: a) if last else (lambda a: np.moveaxis(a, -1, 1))
        order = f"N{letters}C" if last else f"NC{letters}"
        numbers = (order, letters + "IO" if last else "OI" + letters, order)
        weight = np.flip(v["w"], range(axes)) if p["transposed"] else v["w"]
        if not last:
            weight = np.moveaxis(weight, (-1, -2), (0, 1))
        x, w = jnp.asarray(np.ascontiguousarray(to(v["x"]))), jnp.asarray(np.ascontiguousarray(weight))
        b = jnp.asarray(v["b"] if last else v["b"].reshape(-1, *(1,) * axes))

        def f(x, w, b):
            return jax.lax.conv_general_dilated(x, w, dimension_numbers=numbers, **kw) + b

        def back(a):
            return np.asarray(a) if last else np.moveaxis(np.asarray(a), 1, -1)

        if not p["backward"]:
            jitted = jax.jit(f)
            run = lambda: jitted(x, w, b).block_until_ready()  # noqa: E731
            run.result = lambda: back(run())
            return run
        g = jnp.asarray(np.ascontiguousarray(to(v["g"])))
        jitted = jax.jit(lambda x, w, b, g: (lambda y, pull: (y, pull(g)))(*jax.vjp(f, x, w, b)))
        run = lambda: jax.block_until_ready(jitted(x, w, b, g))  # noqa: E731

        def result():
            dx, dw, db = run()[1]
            dw = np.asarray(dw) if last else np.moveaxis(np.asarray(dw), (0, 1), (-1, -2))
            return [back(dx), np.flip(dw, range(axes)) if p["transposed"] else dw, np.asarray(db).ravel()]

        run.result = result
        return run

    return fastest(NCHW=layout(False), NHWC=layout(True))


def _onnxruntime(p, v, threads):
    from libraries import onnx_session
    from onnx import helper

    if p["backward"]:
        return None
    axes = len(p["size"])
    order = (-2, -1) if p["transposed"] else (-1, -2)
    x = np.ascontiguousarray(np.moveaxis(v["x"], -1, 1))
    w = np.ascontiguousarray(np.moveaxis(v["w"], order, (0, 1)))
    kw = dict(strides=[p["s"]] * axes, pads=[p["pad"]] * 2 * axes, dilations=[p["d"]] * axes, group=p["groups"])
    node = helper.make_node("ConvTranspose" if p["transposed"] else "Conv", ["x", "w", "b"], ["out"], **kw)
    session = onnx_session([node], {"x": x}, {"w": w, "b": v["b"]}, threads)
    run = lambda: session.run(None, {"x": x})  # noqa: E731
    run.result = lambda: np.moveaxis(run()[0], 1, -1)
    return run


BUILDERS = {"fastnn": _fastnn, "torch": _torch, "jax": _jax, "onnxruntime": _onnxruntime}
