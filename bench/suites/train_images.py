"""Whole training steps of image networks: forward, loss, backward, SGD with momentum, on one fixed batch.

What is checked before timing are the losses of the first steps, against PyTorch in float64.
"""

import numpy as np
from builders import nets_fastnn, nets_jax, nets_torch
from builders.nets import NETS
from case import Case, Missing

TITLE = "Training steps of image networks, float32"
LIBS = ["fastnn-captured", "fastnn", "torch", "torch-fused", "torch-keep", "torch-compile", "jax"]
SUBJECT = "fastnn-captured"
BUILDERS = {
    "fastnn-captured": nets_fastnn.build_captured,
    "fastnn": nets_fastnn.build,
    "torch": nets_torch.build,
    "torch-fused": nets_torch.build_fused,
    "torch-compile": nets_torch.build_compiled,
    "jax": nets_jax.build,
}


def _case(net, batch, million):
    """`million`: multiply-adds of one example forward; twice that backward, less what the images' gradient would be."""
    first = {"lenet": 0.118, "resnet20": 0.442}[net]
    flops = 2e6 * batch * (3 * million - first)
    return Case(f"{net}, batch {batch}", {"net": net, "batch": batch, "lr": 0.01, "steps": 5}, flops)


CASES = [_case("lenet", 64, 0.417), _case("resnet20", 64, 40.8)]


def tiny(p):
    return {**p, "batch": 2, "steps": 4, "lr": 1e-3}


def inputs(p, rng):
    _, weights, shape = NETS[p["net"]]
    x = rng.standard_normal((p["batch"], *shape), dtype=np.float32)
    return {"x": x, "y": rng.integers(0, 10, p["batch"]), **weights(rng)}


def reference(p, v, lib):
    try:
        losses = nets_torch.losses(p, v)
    except ImportError:
        raise Missing("the float64 result of this suite needs PyTorch") from None
    return [(losses, 1e-3 * losses + 1e-5)]
