"""Boxes: worked numbers, suppression against all pairs, anchors, regions, capture."""

import numpy as np
import pytest

import fastnn
from fastnn.vision import anchors, ops

pytestmark = pytest.mark.kernels


def all_pairs(b, s, t):
    """Suppression by comparing every pair, in the arithmetic of the boxes."""
    keep = []
    order = [i for i in np.argsort(-s, kind="stable") if not (np.isnan(s[i]) or np.isnan(b[i]).any())]
    t = b.dtype.type(t)
    with np.errstate(all="ignore"):
        w, h = b[:, 2] - b[:, 0], b[:, 3] - b[:, 1]
        area = np.where((w > 0) & (h > 0), w * h, 0).astype(b.dtype)
        alive = np.zeros(len(s), bool)
        alive[order] = True
        for i in order:
            if not alive[i]:
                continue
            keep.append(i)
            w = np.minimum(b[i, 2], b[:, 2]) - np.maximum(b[i, 0], b[:, 0])
            h = np.minimum(b[i, 3], b[:, 3]) - np.maximum(b[i, 1], b[:, 1])
            inter = np.where(w > 0, w, 0) * np.where(h > 0, h, 0)
            alive &= ~(inter > t * (area[i] + area - inter))
    return np.array(keep, np.int64)


def some_boxes(rng, n, dtype):
    """Boxes of a random kind: clustered, scattered, elongated, of very different sizes, repeated, on a grid."""
    kind = rng.integers(7)
    centre = rng.random((n, 2)) * rng.choice([1e-3, 1, 1e3])
    scale = max(np.ptp(centre), 1e-9)
    size = scale * rng.uniform(0.02, 0.2, (n, 2))
    if kind == 1:
        centre = centre[rng.integers(0, max(n // 20, 1), n)] + rng.standard_normal((n, 2)) * scale * 0.01
    elif kind == 2:
        size[:, 0] *= 50
    elif kind == 3:
        size *= 10.0 ** rng.uniform(-3, 1, (n, 1))
    elif kind == 4:
        pick = rng.integers(0, max(n // 5, 1), n)
        centre, size = centre[pick], size[pick]
    elif kind == 5:
        centre, size = np.round(centre / scale * 20), np.round(size / scale * 20)
    elif kind == 6:
        centre[0] += 1e6 * scale
    b = np.concatenate([centre - size / 2, centre + size / 2], 1).astype(dtype)
    if rng.random() < 0.3:
        bad = rng.integers(0, n, max(n // 10, 1))
        b[bad, rng.integers(0, 4, len(bad))] = rng.choice([np.nan, np.inf, -np.inf, 3e38, 0.0, 1e-42], len(bad))
    return b


@pytest.mark.parametrize("seed", range(120))
def test_suppression_equals_all_pairs(seed):
    rng = np.random.default_rng(seed)
    dtype = rng.choice(["float32", "float64"])
    n = int(rng.choice([2, 17, 90, 130, 400, 1500]))
    b = some_boxes(rng, n, dtype)
    s = rng.random(n).astype(dtype)
    if rng.random() < 0.5:
        s = np.round(s * 5) / 5
    for t in (0.0, 1e-6, 0.2, 0.5, 0.50001, 0.7, 0.99, 1.0):
        got = ops.nms(fastnn.from_numpy(b), fastnn.from_numpy(s), t).numpy()
        assert np.array_equal(got, all_pairs(b, s, t)), f"threshold {t}"


@pytest.mark.parametrize("seed", range(20))
def test_classes_are_suppressed_alone(seed):
    rng = np.random.default_rng(seed)
    n = 700
    b, s = some_boxes(rng, n, "float32"), np.round(rng.random(n), 2).astype("float32")
    c = rng.integers(-3, rng.choice([1, 5, 300]), n) * int(rng.choice([1, 2**33]))
    got = ops.batched_nms(*map(fastnn.from_numpy, (b, s, c)), 0.4).numpy()
    single = [np.flatnonzero(c == k)[all_pairs(b[c == k], s[c == k], 0.4)] for k in np.unique(c)]
    want = np.sort(np.concatenate(single))
    want = want[np.argsort(-s[want], kind="stable")]
    assert np.array_equal(got, want)


def test_suppression_by_hand():
    """The course's order: the best box stays, what overlaps it goes, then the next best."""
    b = fastnn.tensor(
        [[0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30], [0, 0, 10, 9], [21, 20, 31, 30]], dtype="float32"
    )
    s = fastnn.tensor([0.8, 0.7, 0.6, 0.9, 0.65])
    assert ops.nms(b, s, 0.5).tolist() == [3, 4]
    assert ops.nms(b, s, 0.95).tolist() == [3, 0, 1, 4, 2]
    assert ops.batched_nms(b, s, fastnn.tensor([0, 1, 0, 0, 1]), 0.5).tolist() == [3, 1, 4, 2]


def test_memory_is_linear():
    rng = np.random.default_rng(0)
    peaks = []
    for n in (20000, 40000):
        c = rng.random((n, 2)) * 1000
        b, s = fastnn.from_numpy(np.concatenate([c, c + 30], 1).astype("float32")), fastnn.rand(n)
        fastnn.reset_peak_memory()
        before = fastnn.memory_stats()["allocated"]
        ops.nms(b, s, 0.5)
        peaks.append(fastnn.memory_stats()["peak"] - before)
    assert peaks[1] < 2.5 * peaks[0] and peaks[1] < 40000 * 200


def test_intersection_over_union():
    b = fastnn.tensor([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6]], dtype="float64")
    iou = ops.box_iou(b, b).numpy()
    np.testing.assert_allclose(iou, [[1, 1 / 7, 0], [1 / 7, 1, 0], [0, 0, 1]], rtol=1e-15)
    giou = ops.generalized_box_iou(b, b).numpy()
    np.testing.assert_allclose(giou[0], [1, 1 / 7 - 2 / 9, -(36 - 5) / 36], rtol=1e-14)
    assert ops.box_area(b).tolist() == [4, 4, 1]
    r = fastnn.randn(4, 4, dtype="float64")
    x, y = (ops.box_convert(v.abs() + 0.3, "cxcywh", "xyxy").requires_grad_() for v in (r, r.flip(0) * 1.3 + 0.1))
    assert fastnn.autograd.gradcheck(ops.box_iou, [x, y])
    assert fastnn.autograd.gradcheck(ops.generalized_box_iou, [x, y])


def test_other_forms():
    b = fastnn.tensor([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 1.0, 1.0]])
    assert ops.box_convert(b, "xyxy", "xywh").tolist() == [[1, 2, 3, 6], [0, 0, 1, 1]]
    assert ops.box_convert(b, "xyxy", "cxcywh").tolist() == [[2.5, 5, 3, 6], [0.5, 0.5, 1, 1]]
    forms = ("xyxy", "xywh", "cxcywh")
    for a in forms:
        for c in forms:
            there = ops.box_convert(ops.box_convert(b, "xyxy", a), a, c)
            assert ops.box_convert(there, c, "xyxy").tolist() == b.tolist()
    wide = fastnn.tensor([[-3.0, 1.0, 12.0, 20.0]])
    assert ops.clip_boxes_to_image(wide, (10, 8)).tolist() == [[0, 1, 8, 10]]
    nan = float("nan")
    small = fastnn.tensor([[0, 0, 3, 3], [0, 0, 3, 1], [0, 0, nan, 9], [1, 1, 3, 9]], dtype="float32")
    assert ops.remove_small_boxes(small, 2).tolist() == [0, 3]


def test_anchors_by_shape():
    wh = fastnn.tensor([[10.0, 10.0], [30.0, 10.0], [9.0, 32.0]])
    a = fastnn.tensor([[11.0, 11.0], [28.0, 12.0], [10.0, 30.0]])
    index, iou = anchors.assign_anchors(wh, a)
    assert index.tolist() == [0, 1, 2]
    np.testing.assert_allclose(iou.numpy()[0], 100 / 121, rtol=1e-6)


def test_anchors_of_the_course():
    """A pedestrian 0.3 x 0.9 and a car 0.9 x 0.4 with a tall and a wide anchor."""
    wh = fastnn.tensor([[0.3, 0.9], [0.9, 0.4]])
    tall_and_wide = fastnn.tensor([[0.3, 0.9], [0.9, 0.3]])
    iou = anchors.shape_iou(wh, tall_and_wide).numpy()
    np.testing.assert_allclose(iou, [[1, 0.2], [0.12 / 0.51, 0.75]], rtol=1e-5)
    assert anchors.assign_anchors(wh, tall_and_wide)[0].tolist() == [0, 1]


def test_learnt_anchors():
    rng = np.random.default_rng(0)
    true = np.array([[10, 12], [40, 20], [25, 90]])
    wh = (true[rng.integers(0, 3, 600)] * rng.uniform(0.9, 1.1, (600, 2))).astype("float32")
    found, quality = anchors.kmeans_anchors(fastnn.from_numpy(wh), 3, seed=4)
    np.testing.assert_allclose(found.numpy(), true, rtol=0.03)
    assert quality > 0.85
    again, _ = anchors.kmeans_anchors(fastnn.from_numpy(wh), 3, seed=4)
    assert (found.numpy() == again.numpy()).all()
    same, quality = anchors.kmeans_anchors(fastnn.ones(5, 2), 3)
    assert quality == 1 and same.shape == (3, 2)


def test_regions_of_each_image():
    x = fastnn.randn(2, 8, 8, 3)
    boxes = [fastnn.tensor([[0.0, 0.0, 4.0, 4.0]]), fastnn.tensor([[1.0, 1.0, 5.0, 6.0], [2.0, 2.0, 7.0, 7.0]])]
    rows = fastnn.tensor([[0.0, 0, 0, 4, 4], [1, 1, 1, 5, 6], [1, 2, 2, 7, 7]])
    for f in (ops.roi_align, ops.roi_pool):
        assert (f(x, boxes, 2).numpy() == f(x, rows, (2, 2)).numpy()).all()


def test_huge_regions_end():
    x = fastnn.ones(1, 4, 4, 2)
    for far in (1e4, 1e20, 3e38):
        y = ops.roi_align(x, fastnn.tensor([[0.0, -far, -far, far, far]]), 2)
        assert np.isfinite(y.numpy()).all()
        assert (ops.roi_pool(x, fastnn.tensor([[0.0, -far, -far, far, far]]), 2).numpy() <= 1).all()


@pytest.mark.parametrize("op", [ops.roi_align, ops.roi_pool])
def test_forged_regions_in_backward(op):
    """Regions in memory shared with NumPy, changed between forward and backward."""
    rows = np.array([[0, 0, 0, 2, 2]], np.float32)
    x = fastnn.randn(1, 4, 4, 2).requires_grad_()
    op(x, fastnn.from_numpy(rows), 2).sum().backward()
    expected, x.grad = x.grad, None
    y = op(x, fastnn.from_numpy(rows), 2).sum()
    rows[0, 0] = 2**30  # the operation has its own copy
    y.backward()
    assert fastnn.equal(x.grad, expected)


def test_shapes_that_depend_on_data_are_not_captured():
    b, s = fastnn.tensor([[0.0, 0, 1, 1]]), fastnn.tensor([1.0])
    for f in (lambda v: ops.nms(b, v, 0.5), lambda v: ops.soft_nms(b, v)[0]):
        with pytest.raises(fastnn.CaptureError, match="nms"):
            fastnn.capture(f)(s)


def test_regions_in_a_captured_step():
    w = fastnn.randn(2, 8, 8, 3).requires_grad_()

    def step(rows):
        w.grad = None
        (ops.roi_align(w, rows, 3) * ops.roi_pool(w, rows, 3)).sum().backward()
        return w.grad

    captured = fastnn.capture(step)
    rng = np.random.default_rng(0)
    for _ in range(4):
        c = rng.uniform(0, 6, (5, 2))
        rows = np.concatenate([rng.integers(0, 2, (5, 1)), c, c + rng.uniform(1, 4, (5, 2))], 1).astype("float32")
        a, b = (f(fastnn.from_numpy(rows)).numpy().copy() for f in (step, captured))
        assert (a == b).all()
    with pytest.raises(IndexError):
        captured(fastnn.from_numpy(rows + np.float32(5)))
