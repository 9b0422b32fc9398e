"""Metrics against scikit-learn, whole and in batches."""

import math

import numpy as np
import pytest

import fastnn
from fastnn import metrics as M

sk = pytest.importorskip("sklearn.metrics")

RNG = np.random.RandomState(0)
MULTI = (
    RNG.randint(0, 5, 300),
    np.where(RNG.rand(300) < 0.4, RNG.randint(0, 7, 300), 3),
)  # classes 5, 6 only predicted
BINARY = (RNG.randint(0, 2, 200), RNG.randint(0, 2, 200))


def test_confusion_and_accuracy():
    t, p = MULTI
    assert (M.confusion_matrix(p, t) == sk.confusion_matrix(t, p)).all()
    assert M.accuracy(p, t) == sk.accuracy_score(t, p)
    assert M.confusion_matrix(p, t, num_classes=9).shape == (9, 9)
    assert M.accuracy(fastnn.from_numpy(p), fastnn.from_numpy(t)) == M.accuracy(p, t)


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
@pytest.mark.parametrize("zero_division", [0.0, 1.0])
def test_averages(average, zero_division):
    t, p = MULTI
    kw = {"average": average, "zero_division": zero_division}
    for mine, theirs in ((M.precision, sk.precision_score), (M.recall, sk.recall_score), (M.f1_score, sk.f1_score)):
        assert np.allclose(mine(p, t, **kw), theirs(t, p, **kw), rtol=1e-14, atol=0), mine.__name__
    assert np.allclose(M.fbeta_score(p, t, 2, **kw), sk.fbeta_score(t, p, beta=2, **kw), rtol=1e-14)


@pytest.mark.parametrize("pos_label", [0, 1])
def test_binary(pos_label):
    t, p = BINARY
    for mine, theirs in ((M.precision, sk.precision_score), (M.recall, sk.recall_score), (M.f1_score, sk.f1_score)):
        assert math.isclose(mine(p, t, pos_label=pos_label), theirs(t, p, pos_label=pos_label), rel_tol=1e-14)
        # never predicted, never true
        assert mine(np.zeros(4, int), np.zeros(4, int)) == 0.0


def test_forms_of_predictions():
    t = np.array([0, 2, 1, 2])
    scores = np.array([[3, 1, 1], [0, 0, 5], [2, 1, 0], [1, 4, 9]], np.float32)
    assert M.accuracy(scores, t) == 0.75 and M.accuracy(scores, t[:, None]) == 0.75
    assert M.accuracy(fastnn.from_numpy(scores), fastnn.from_numpy(t)) == 0.75
    p = np.array([0.2, 0.7, 0.5, 0.9])
    y = np.array([0.0, 1.0, 0.0, 1.0])
    assert M.accuracy(p, y) == M.accuracy(p[:, None], y) == M.accuracy(p[:, None], y[:, None]) == 1.0
    assert M.accuracy(p - 0.6, y, threshold=0.0) == 1.0
    assert M.accuracy(p > 0.5, y.astype(bool)) == 1.0
    assert M.top_k_accuracy(scores, t, k=2) == 1.0 and M.top_k_accuracy(scores, t, k=1) == 0.75
    assert M.top_k_accuracy(np.zeros((2, 3)), [0, 1], k=1) == 0.0  # equal scores decide nothing


def test_regression():
    p, t = RNG.randn(50, 2), RNG.randn(50, 2)
    assert math.isclose(M.mean_squared_error(p, t), sk.mean_squared_error(t, p))
    assert math.isclose(M.mean_absolute_error(p, t), sk.mean_absolute_error(t, p))


def test_empty():
    none = np.zeros(0, np.int64)
    assert math.isnan(M.accuracy(none, none)) and math.isnan(M.f1_score(none, none, average="macro"))
    assert M.confusion_matrix(none, none).shape == (0, 0)
    assert math.isnan(M.Accuracy().compute()) and math.isnan(M.Mean().compute())


@pytest.mark.parametrize(
    "make, function",
    [
        (M.Accuracy, M.accuracy), (M.ConfusionMatrix, M.confusion_matrix),
        (lambda: M.ConfusionMatrix(8), lambda p, t: M.confusion_matrix(p, t, 8)),
        (lambda: M.Precision("macro"), lambda p, t: M.precision(p, t, "macro")),
        (lambda: M.Recall("weighted"), lambda p, t: M.recall(p, t, "weighted")),
        (lambda: M.F1("micro"), lambda p, t: M.f1_score(p, t, "micro")), (M.MeanSquaredError, M.mean_squared_error),
        (M.MeanAbsoluteError, M.mean_absolute_error), (lambda: M.get_metric(M.mean_squared_error),
        M.mean_squared_error),
    ],
)  # fmt: skip
def test_streaming(make, function):
    t, p = MULTI
    order = np.argsort(p + t, kind="stable")  # small ids first, so that matrices have to grow
    t, p = t[order], p[order]
    metric = make()
    for cut in (slice(0, 7), slice(7, 8), slice(8, 120), slice(120, 120), slice(120, 200)):
        if t[cut].size or "function" not in vars(metric):
            metric.update(p[cut], t[cut])
    other = make()  # continue from the saved state
    other.load_state_dict(metric.state_dict())
    metric.update(p[: 0 + 1], t[: 0 + 1])  # must not touch the copy
    other.update(p[200:], t[200:])
    assert np.allclose(other.compute(), function(p, t), rtol=1e-12)
    other.reset()
    other.update(p[:9], t[:9])
    if not isinstance(other, M.ConfusionMatrix) or other.num_classes:
        assert np.allclose(other.compute(), function(p[:9], t[:9]))


def test_get_metric():
    assert isinstance(M.get_metric("accuracy"), M.Accuracy) and M.get_metric(metric := M.F1()) is metric
    assert M.get_metric(M.accuracy).name == "accuracy"
    with pytest.raises(ValueError, match="known: accuracy"):
        M.get_metric("acuracy")
    with pytest.raises(TypeError):
        M.get_metric(3)
    with pytest.raises(ValueError, match="saved state"):
        M.Accuracy().load_state_dict({"_sum": 1})


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda: M.accuracy([0, 1], [0, 1, 2]), ValueError),
        (lambda: M.accuracy(np.zeros((2, 3)), np.zeros((3,), int)), ValueError),
        (lambda: M.accuracy([-1, 1], [0, 1]), IndexError),
        (lambda: M.accuracy([0, 1], [0.5, 1]), ValueError),
        (lambda: M.accuracy(np.array([np.nan, 1]), [0, 1]), ValueError),
        (lambda: M.accuracy(["a"], ["b"]), TypeError),
        (lambda: M.confusion_matrix([0, 3], [0, 1], num_classes=3), IndexError),
        (lambda: M.confusion_matrix([0, 1 << 40], [0, 1]), ValueError),
        (lambda: M.f1_score([0, 1, 2], [0, 1, 2]), ValueError),
        (lambda: M.f1_score([0, 1], [0, 1], average="mean"), ValueError),
        (lambda: M.fbeta_score([0, 1], [0, 1], 0), ValueError),
        (lambda: M.top_k_accuracy(np.zeros((2, 3)), [0, 1], k=4), ValueError),
        (lambda: M.top_k_accuracy(np.zeros((2, 3)), [0, 3], k=1), IndexError),
        (lambda: M.mean_squared_error([1.0], [1.0, 2.0]), ValueError),
    ],
)
def test_errors(call, error):
    with pytest.raises(error):
        call()
