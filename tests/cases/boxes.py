"""Cases of suppression and regions; the references are the loops of the definitions."""

import numpy as np

import fastnn
from cases.case import A, Case, S

ops = fastnn.vision.ops


def boxes(n, seed=0, spread=60.0, bad=False):
    """Overlapping boxes; with `bad` also empty, inverted, infinite and NaN ones, and ties."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, spread, (n, 2))
    b = np.concatenate([corner, corner + rng.uniform(5, 30, (n, 2))], 1).astype(np.float32)
    if bad:
        b[::7] = b[1]
        b[3, 2:] = b[3, :2]
        b[5] = b[5, [2, 3, 0, 1]]
        b[9, 0], b[10, 3], b[11] = -np.inf, np.inf, np.nan
        b[13, 1] = np.nan
    return b


def scores(n, seed=0, ties=False, bad=False):
    s = np.random.default_rng(seed + 1).random(n).astype(np.float32)
    if ties:
        s = np.round(s * 4) / 4
    if bad:
        s[2], s[4], s[6] = np.nan, np.inf, -np.inf
    return s


def overlap(b, i, j, dtype):
    """What two boxes share, and cover together, rounded as the operation does."""
    a, c = b[i].astype(dtype), b[j].astype(dtype)
    w = max(min(a[2], c[2]) - max(a[0], c[0]), dtype(0))
    h = max(min(a[3], c[3]) - max(a[1], c[1]), dtype(0))
    areas = [(v[2] - v[0]) * (v[3] - v[1]) if v[2] > v[0] and v[3] > v[1] else dtype(0) for v in (a, c)]
    return w * h, areas[0] + areas[1] - w * h


def nms(b, s, t, classes=None):
    """All pairs. The values of these samples leave no doubt in float64 about what float32 decides."""
    order = [i for i in np.argsort(-s, kind="stable") if not (np.isnan(s[i]) or np.isnan(b[i]).any())]
    keep = []
    with np.errstate(all="ignore"):
        for i in order:
            for j in keep:
                if classes is not None and classes[i] != classes[j]:
                    continue
                inter, union = overlap(b, j, i, np.float64)
                if inter > t * union:
                    break
            else:
                keep.append(i)
    return np.array(keep, np.int64)


def soft_nms(b, s, iou_threshold=0.3, sigma=0.5, score_threshold=0.001, method="linear"):
    """One box after another, the scores of the others lowered."""
    s = s.copy()
    left = [i for i in range(len(s)) if s[i] >= score_threshold and not np.isnan(b[i]).any()]
    keep, taken = [], []
    while left:
        best = max(left, key=lambda i: (s[i], -i))
        keep.append(best)
        taken.append(s[best])
        left.remove(best)
        for i in left:
            with np.errstate(all="ignore"):
                inter, union = overlap(b, best, i, np.float64)
            iou = inter / union if union > 0 and inter <= union else 0.0
            if method == "gaussian":
                s[i] *= np.exp(-iou * iou / sigma)
            elif iou > iou_threshold:
                s[i] *= 1 - iou
        left = [i for i in left if s[i] >= score_threshold]
    return np.array(keep, np.int64), np.array(taken)


def rows_of(boxes):
    """(image, corners) of lists of boxes."""
    return [[n, *b] for n, image in enumerate(boxes) for b in image]


def roi_pool(x, boxes, output_size, spatial_scale=1.0):
    n, h, w, c = x.shape
    regions = rows_of(boxes)
    ph, pw = output_size
    y = np.zeros((len(regions), ph, pw, c))

    def rounded(v):
        return int(np.floor(v + 0.5)) if v >= 0 else -int(np.floor(0.5 - v))

    for k, r in enumerate(regions):
        x1, y1, x2, y2 = (rounded(v * spatial_scale) for v in r[1:])
        step_h, step_w = max(y2 - y1 + 1, 1) / ph, max(x2 - x1 + 1, 1) / pw
        for i in range(ph):
            for j in range(pw):
                a, b = (int(np.clip(v + y1, 0, h)) for v in (np.floor(i * step_h), np.ceil((i + 1) * step_h)))
                d, e = (int(np.clip(v + x1, 0, w)) for v in (np.floor(j * step_w), np.ceil((j + 1) * step_w)))
                if a < b and d < e:
                    y[k, i, j] = x[int(r[0]), a:b, d:e].max((0, 1))
    return y


def roi_align(x, boxes, output_size, spatial_scale=1.0, sampling_ratio=-1, aligned=False):
    n, h, w, c = x.shape
    regions = rows_of(boxes)
    ph, pw = output_size
    y = np.zeros((len(regions), ph, pw, c))

    def sample(image, v, u):
        if not (-1 <= v <= h and -1 <= u <= w):
            return np.zeros(c)
        v, u = min(max(v, 0), h - 1), min(max(u, 0), w - 1)
        a, b = int(v), int(u)
        a2, b2 = min(a + 1, h - 1), min(b + 1, w - 1)
        p, q = v - a, u - b
        return (1 - p) * ((1 - q) * image[a, b] + q * image[a, b2]) + p * ((1 - q) * image[a2, b] + q * image[a2, b2])

    for k, r in enumerate(regions):
        x1, y1, x2, y2 = np.asarray(r[1:], np.float64) * spatial_scale - (0.5 if aligned else 0)
        height, width = y2 - y1, x2 - x1
        if not aligned:
            height, width = max(height, 1), max(width, 1)
        bh, bw = height / ph, width / pw
        gh, gw = (sampling_ratio if sampling_ratio > 0 else max(int(np.ceil(v)), 0) for v in (bh, bw))
        for i in range(ph):
            for j in range(pw):
                for u in range(gh):
                    for v in range(gw):
                        y[k, i, j] += sample(x[int(r[0])], y1 + i * bh + (u + 0.5) * bh / gh,
                                             x1 + j * bw + (v + 0.5) * bw / gw)  # fmt: skip
                y[k, i, j] /= max(gh * gw, 1)
    return y


LAYOUTS = ("transposed", "strided", "negative", "offset")
THRESHOLDS = (0.0, 0.13, 0.31, 0.52, 0.77, 0.97, 1.0)


def fixed(values, layout="dense", dtype=None):
    return A(values=values, layout=layout, dtype=dtype, grad=False)


SUPPRESSED = [S(fixed(boxes(40, k)), fixed(scores(40, k)), t) for k, t in enumerate(THRESHOLDS)]
SUPPRESSED += [S(fixed(boxes(40, k, bad=True)), fixed(scores(40, k, True, True)), t) for k, t in enumerate(THRESHOLDS)]
SUPPRESSED += [S(fixed(boxes(33), layout), fixed(scores(33), layout), 0.4) for layout in LAYOUTS]
SUPPRESSED += [S(fixed(boxes(300, 9, 200)), fixed(scores(300, 9)), 0.45), S(A(0, 4, grad=False), A(0, grad=False), 0.5)]
SUPPRESSED += [S(fixed(boxes(1)), fixed(scores(1)), 0.5)]


def classes(n, count=3, dtype="int64"):
    return A(
        values=np.random.default_rng(n).integers(-2, count - 2, n) * (2**40 if dtype == "int64" else 1), dtype=dtype
    )


BATCHED = [
    S(*s.args[:2], classes(len(s.args[1].values)), s.args[2]) for s in SUPPRESSED if s.args[1].values is not None
]
BATCHED += [S(fixed(boxes(200, 3)), fixed(scores(200, 3)), classes(200, 40, "int32"), 0.3)]

IMAGE = (2, 7, 9, 5)
REGIONS = np.array([[0, 1, 1, 5, 5], [1, 0.3, 0.2, 6.9, 4.1], [0, -3, -2, 4, 3.5], [1, 6.1, 5.2, 20.4, 30.7],
                    [0, 3.2, 3.1, 3.3, 3.2], [1, 50, 50, 60, 60], [0, 5, 5, 2, 1]], np.float32)  # fmt: skip


def regions(scale=1.0, images=2, times=1):
    """Boxes of every image."""
    rows = np.tile(REGIONS, (times, 1))
    return [fixed(rows[rows[:, 0] == n][:, 1:] / np.float32(scale)) for n in range(images)]


ROI = [S(A(*IMAGE, kind="distinct"), regions(), (2, 3)), S(A(*IMAGE, kind="distinct"), regions(0.25), (3, 2), 0.25)]
ROI += [S(A(*IMAGE, kind="distinct", layout=layout), regions(), (1, 1)) for layout in LAYOUTS]
ROI += [S(A(1, 4, 4, 70, kind="distinct"), regions(images=1), (2, 2)), S(A(*IMAGE), [A(0, 4, grad=False)], (2, 2))]
ROI += [S(A(2, 30, 30, 70), regions(times=5), (4, 4), _threads=True)]
ALIGN = [S(*s.args, **kw) for s in ROI for kw in ({}, {"sampling_ratio": 2}, {"aligned": True})]
for s, t in zip(ALIGN, [s for s in ROI for _ in range(3)], strict=True):
    s.threads = t.threads

EXACT = {"tol32": (0, 0), "tol64": (0, 0), "why": "indices"}
CASES = [
    Case("nms", call=ops.nms, numpy=nms, samples=SUPPRESSED, differentiable=False, **EXACT),
    Case("batched_nms", call=ops.batched_nms, numpy=lambda b, s, c, t: nms(b, s, t, c), samples=BATCHED,
         differentiable=False, **EXACT),
    Case("soft_nms", call=ops.soft_nms, numpy=soft_nms, differentiable=False, tol32=(1e-5, 1e-6), tol64=(1e-12, 1e-13),
         why="a product of as many factors as boxes overlap",
         samples=[S(fixed(boxes(40, k)), fixed(scores(40, k)), **kw) for k in range(3)
                  for kw in ({}, {"method": "gaussian"}, {"iou_threshold": 0.0}, {"method": "gaussian", "sigma": 0.1})]
         + [S(fixed(boxes(300, 2, 90)), fixed(scores(300, 2)), 0.2), S(A(0, 4, grad=False), A(0, grad=False))]
         + [S(fixed(boxes(40, 1, bad=True)), fixed(np.where(np.arange(40) % 9, scores(40, 1), np.nan)))]
         + [S(fixed(boxes(33), layout), fixed(scores(33), layout)) for layout in LAYOUTS]),
    Case("roi_pool", call=ops.roi_pool, numpy=roi_pool, samples=ROI, **EXACT),
    Case("roi_align", call=ops.roi_align, numpy=roi_align, samples=ALIGN, tol32=(1e-5, 1e-4), tol64=(1e-12, 1e-12),
         why="positions are rounded before they become weights of values up to 60"),
]  # fmt: skip
