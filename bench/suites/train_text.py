"""Whole training steps of a character model: ids to loss, backward, Adam, on one fixed batch.

What is checked before timing are the losses of the first steps, against PyTorch in float64. The arithmetic counted is
the least there is: products with the input weights once for each character of the vocabulary, not for each position.
"""

from builders import char_lstm
from case import Case, Missing

TITLE = "Training steps of a character model, float32"
LIBS = ["fastnn-captured", "fastnn", "torch", "torch-fused", "torch-compile", "jax"]
SUBJECT = "fastnn-captured"
BUILDERS = {
    "fastnn-captured": char_lstm.captured,
    "fastnn": char_lstm.fastnn,
    "torch": char_lstm.torch,
    "torch-fused": char_lstm.torch_fused,
    "torch-compile": char_lstm.torch_compiled,
    "jax": char_lstm.jax,
}


def _case(vocabulary, h, t, n):
    flops = 3 * 2.0 * (vocabulary * h * 4 * h + n * t * h * (4 * h + vocabulary))
    params = {"vocabulary": vocabulary, "h": h, "t": t, "n": n, "lr": 1e-3, "steps": 6}
    return Case(f"char LSTM, V {vocabulary} H {h} T {t} N {n}, Adam", params, flops)


CASES = [_case(65, 256, 64, 32)]


def tiny(p):
    return {**p, "vocabulary": 7, "h": 8, "t": 4, "n": 3}


def inputs(p, rng):
    ids = rng.integers(0, p["vocabulary"], (p["n"], p["t"] + 1))
    return {"x": ids[:, :-1].copy(), "y": ids[:, 1:].copy(), **char_lstm.weights(p, rng)}


def reference(p, v, lib):
    try:
        losses = char_lstm.losses(p, v)
    except ImportError:
        raise Missing("the float64 result of this suite needs PyTorch") from None
    return [(losses, 1e-4 * losses)]
