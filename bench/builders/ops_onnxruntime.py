"""ONNX Runtime: forward only, images in NCHW. It keeps its buffers from call to call."""

import numpy as np

from . import IMAGES, dropout_summary


def build(p, v, threads):
    from libraries import onnx_session
    from onnx import helper

    if p["backward"]:
        return None
    window = {}
    if "k" in p:
        window = {"kernel_shape": [p["k"]] * 2, "strides": [p["s"]] * 2, "pads": [p["pad"]] * 4}
    kinds = {
        "relu": ("Relu", {}),
        "gelu": ("Gelu", {"approximate": "tanh"}),
        "gelu_erf": ("Gelu", {}),
        "tanh": ("Tanh", {}),
        "sigmoid": ("Sigmoid", {}),
        "exp": ("Exp", {}),
        "sum": ("ReduceSum", {"keepdims": 0}),
        "add": ("Add", {}),
        "softmax": ("Softmax", {"axis": 1}),
        "layer_norm": ("LayerNormalization", {"axis": -1}),
        "embedding": ("Gather", {}),
        "max_pool": ("MaxPool", window),
        "avg_pool": ("AveragePool", {**window, "count_include_pad": 1}),
        "dropout": ("Dropout", {}),
    }
    if p["op"] not in kinds:
        return None  # batch norm in training and losses belong to its training package
    kind, attributes = kinds[p["op"]]
    constants = {k: v[k] for k in ("weight", "bias") if k in v}
    if p["op"] == "dropout":
        constants = {"ratio": np.float32(0.5).reshape(()), "training": np.array(True)}
    fed = {k: a for k, a in v.items() if k not in constants}
    if p["op"] in IMAGES:
        fed["x"] = np.ascontiguousarray(np.moveaxis(fed["x"], 3, 1))
    names = [*v, *(k for k in constants if k not in v)]
    node = helper.make_node(kind, names, ["out"], **attributes)
    session = onnx_session([node], fed, constants, threads, 20)
    run = lambda: session.run(None, fed)  # noqa: E731
    if p["op"] in IMAGES:
        run.result = lambda: np.moveaxis(run()[0], 1, 3)
    if p["op"] == "dropout":
        run.result = lambda: [dropout_summary(v["x"], run()[0])]
    return run
