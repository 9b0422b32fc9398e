"""Non-maximum suppression: boxes 30 to 50 pixels wide in an image of 1000, all that are kept returned.

"clustered" is what a detector gives (most boxes are suppressed), "scattered" the worst case (most are kept).
"""

import numpy as np
from case import Case

TITLE = "Non-maximum suppression, IoU threshold 0.5"
LIBS = ["fastnn", "numpy", "onnxruntime"]
THRESHOLD = 0.5


def _case(kind, n):
    skip = {"numpy": "minutes a call"} if (kind, n) == ("scattered", 50000) else {}
    return Case(f"{kind} {n}", {"kind": kind, "n": n}, skip=skip)


CASES = [_case(kind, n) for kind in ("clustered", "scattered") for n in (1000, 10000, 50000)]


def tiny(p):
    return {**p, "n": 300}


def inputs(p, rng):
    n = p["n"]
    if p["kind"] == "clustered":
        centres = rng.random((max(n // 100, 1), 2)) * 1000
        at = centres[rng.integers(0, len(centres), n)] + rng.standard_normal((n, 2)) * 4
    else:
        at = rng.random((n, 2)) * 1000
    half = 15 + 10 * rng.random((n, 2))
    # Distinct scores: every library takes the boxes in one order.
    scores = (rng.permutation(n) / n).astype(np.float32)
    return {"boxes": np.concatenate([at - half, at + half], 1).astype(np.float32), "scores": scores}


def _suppress(boxes, scores, threshold):
    """One box at a time against all that are left, in the type of `boxes`."""
    x1, y1, x2, y2 = boxes.T
    area, order, keep = (x2 - x1) * (y2 - y1), np.argsort(-scores, kind="stable"), []
    while order.size:
        i, rest = order[0], order[1:]
        keep.append(i)
        w = np.minimum(x2[i], x2[rest]) - np.maximum(x1[i], x1[rest])
        h = np.minimum(y2[i], y2[rest]) - np.maximum(y1[i], y1[rest])
        inter = np.maximum(w, 0) * np.maximum(h, 0)
        order = rest[inter <= threshold * (area[i] + area[rest] - inter)]
    return np.array(keep)


def reference(p, v, lib):
    # In float32, as all of them compute: a pair at the threshold would fall the other way in float64.
    kept = _suppress(v["boxes"], v["scores"], np.float32(THRESHOLD)).astype(np.float64)
    return [(kept, np.full(kept.shape, 0.5))]


def _fastnn(p, v, threads):
    import fastnn
    from fastnn.vision.ops import nms

    boxes, scores = fastnn.from_numpy(v["boxes"]), fastnn.from_numpy(v["scores"])
    return lambda: nms(boxes, scores, THRESHOLD)


def _numpy(p, v, threads):
    return lambda: _suppress(v["boxes"], v["scores"], np.float32(THRESHOLD))


def _onnxruntime(p, v, threads):
    from libraries import onnx_session
    from onnx import TensorProto, helper

    feed = {"boxes": v["boxes"][None], "scores": v["scores"][None, None]}
    limits = {"most": np.array([p["n"]], np.int64), "threshold": np.array([THRESHOLD], np.float32)}
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "most", "threshold"], ["out"])
    session = onnx_session([node], feed, limits, threads, out=TensorProto.INT64)
    run = lambda: session.run(None, feed)  # noqa: E731
    run.result = lambda: run()[0][:, 2]
    return run


BUILDERS = {"fastnn": _fastnn, "numpy": _numpy, "onnxruntime": _onnxruntime}
