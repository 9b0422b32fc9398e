"""Curves, areas, calibration, intervals and paired tests, against scikit-learn and SciPy."""

import math

import numpy as np
import pytest

import fastnn
from fastnn import metrics as M

sk = pytest.importorskip("sklearn.metrics")
stats = pytest.importorskip("scipy.stats")

RNG = np.random.RandomState(0)
T = RNG.randint(0, 2, 400)
S = np.round(T * 0.4 + RNG.rand(400), 2)  # with ties
C = RNG.randint(0, 4, 300)
P = np.exp(RNG.randn(300, 4) + 1.5 * np.eye(4)[C])
P /= P.sum(1, keepdims=True)


def test_curves_are_scikit_learns():
    x, y, thresholds = M.roc_curve(S, T)
    for mine, theirs in zip((x, y, thresholds), sk.roc_curve(T, S, drop_intermediate=False)):
        assert np.allclose(mine, theirs, rtol=1e-14)
    recall, precision, thresholds = M.precision_recall_curve(fastnn.tensor(S), fastnn.tensor(T))
    theirs = sk.precision_recall_curve(T, S)
    assert np.allclose(precision, theirs[0][::-1]) and np.allclose(recall, theirs[1][::-1])
    assert np.allclose(thresholds[1:], theirs[2][::-1])


def test_areas_are_scikit_learns():
    assert math.isclose(M.roc_auc(S, T), sk.roc_auc_score(T, S), rel_tol=1e-13)
    assert math.isclose(M.average_precision(S, T), sk.average_precision_score(T, S), rel_tol=1e-13)
    for average in ("macro", "weighted"):
        assert math.isclose(M.roc_auc(P, C, average), sk.roc_auc_score(C, P, multi_class="ovr", average=average))
        mine = M.average_precision(P, C, average)
        assert math.isclose(mine, sk.average_precision_score(np.eye(4)[C], P, average=average))
    assert M.roc_auc(P, C, None).shape == (4,)
    assert M.auc([0, 1, 2], [0, 1, 0]) == M.auc([2, 1, 0], [0, 1, 0]) == 1


def test_calibration():
    calibration = pytest.importorskip("sklearn.calibration")
    p = np.clip(S / 1.4, 0, 1)
    for strategy in ("uniform", "quantile"):
        observed, predicted = calibration.calibration_curve(T, p, n_bins=7, strategy=strategy)
        r = M.calibration_curve(p, T, 7, strategy)
        assert np.allclose(r.observed, observed) and np.allclose(r.predicted, predicted) and r.count.sum() == len(T)
    assert math.isclose(M.brier_score(p, T), sk.brier_score_loss(T, p))
    assert math.isclose(M.brier_score(P, C), ((P - np.eye(4)[C]) ** 2).sum(1).mean())
    # by hand: 0.9 said four times and right twice, 0.6 once and right
    assert math.isclose(M.expected_calibration_error([0.9] * 4 + [0.6], [1, 1, 0, 0, 1], bins=10), (4 * 0.4 + 0.4) / 5)
    sure = np.eye(4)[C] * 0.97 + 0.0075
    assert M.expected_calibration_error(sure, C) == pytest.approx(0.0225)


def test_weighted_error_and_accuracy():
    w = RNG.rand(300)
    pred = P.argmax(1)
    assert math.isclose(M.accuracy(P, C, sample_weight=w), sk.accuracy_score(C, pred, sample_weight=w))
    assert math.isclose(M.error_rate(P, C, sample_weight=w), 1 - sk.accuracy_score(C, pred, sample_weight=w))
    for bad in (w[:-1], -w, np.zeros(300), w * np.nan):
        with pytest.raises(ValueError, match="sample weights"):
            M.error_rate(P, C, sample_weight=bad)


def test_wilson_and_bootstrap_intervals():
    for k, n in ((0, 10), (3, 10), (10, 10), (100, 10000)):
        theirs = stats.binomtest(k, n).proportion_ci(0.9, method="wilson")
        mine = M.wilson_interval(k, n, 0.9)
        assert np.allclose(mine[1:], (theirs.low, theirs.high), atol=1e-12) and mine.value == k / n
    a = M.bootstrap_interval(M.accuracy, P, C, samples=400, seed=3)
    assert a == M.bootstrap_interval(M.accuracy, P, C, samples=400, seed=3) != M.bootstrap_interval(M.accuracy, P, C)
    w = M.wilson_interval(int((P.argmax(1) == C).sum()), 300)
    assert abs(a.low - w.low) < 0.02 and abs(a.high - w.high) < 0.02 and a.low < a.value < a.high


def test_the_intervals_cover_what_they_promise():
    hits = sum(M.wilson_interval(int(k), 50).low <= 0.1 <= M.wilson_interval(int(k), 50).high
               for k in np.random.RandomState(1).binomial(50, 0.1, 2000))  # fmt: skip
    assert 0.93 < hits / 2000 < 0.98


def test_mcnemar():
    t = np.zeros(100, int)
    a, b = np.zeros(100, int), np.zeros(100, int)
    a[:12] = 1  # a alone is wrong on 12, b alone on 3, both on 5
    b[12:15] = 1
    a[50:55] = b[50:55] = 1
    r = M.mcnemar(a, b, t)
    assert math.isclose(r.p_value, stats.binomtest(3, 15).pvalue) and math.isclose(r.difference, 0.09)
    assert M.mcnemar(a, a, t) == (0, 0, 0, 1)
    boot = M.paired_bootstrap(M.error_rate, a, b, t)
    assert math.isclose(boot.difference, 0.09) and boot.low < 0.09 < boot.high and boot.p_value < 0.1
    assert abs(boot.low - r.low) < 0.02 and abs(boot.high - r.high) < 0.02


def test_examples_needed():
    n = M.examples_needed(0.02, 0.001)
    assert 300_000 < n < 330_000  # a tenth of a percent takes hundreds of thousands of examples
    assert M.examples_needed(0.03, 0.02) < 2000 < M.examples_needed(0.03, 0.01)


def test_slices():
    r = M.by_slice(M.error_rate, [0, 1, 1, 0], [0, 0, 1, 0], ["US", "US", "India", "India"])
    assert r == {"India": 0.0, "US": 0.5, "average": 0.25}


def test_a_metric_of_one_task_skips_unknown_labels():
    metric = M.OfTask("cat", 1)
    metric.update({"cat": np.array([[2.0, 0], [0, 1], [1, 0]])}, np.array([[0, 0], [0, 0], [0, np.nan]]))
    assert metric.compute() == 0.5 and metric.name == "cat_accuracy"
    metric.update({"cat": np.array([[2.0, 0]])}, np.array([[0, -1.0]]))
    assert metric.compute() == 0.5
    with pytest.raises(ValueError, match="no output 'cat'"):
        metric.update({"dog": np.zeros((1, 2))}, np.zeros((1, 2)))


@pytest.mark.parametrize("call", [
    lambda: M.roc_curve([0.1, np.nan], [0, 1]),
    lambda: M.roc_curve([0.1, 0.2], [0, 2]),
    lambda: M.roc_curve([0.1, 0.2], [1, 1]),
    lambda: M.roc_auc([0.1, 0.2], [0, 0]),
    lambda: M.precision_recall_curve([0.1, 0.2], [0, 0]),
    lambda: M.roc_curve([0.1], [0, 1]),
    lambda: M.roc_curve([], []),
    lambda: M.roc_auc(P, C[:-1]),
    lambda: M.roc_auc(P, C, "micro"),
    lambda: M.auc([0, 2, 1], [0, 1, 2]),
    lambda: M.auc([0], [0]),
    lambda: M.calibration_curve([1.5, 0.1], [0, 1]),
    lambda: M.calibration_curve([0.5, 0.1], [0, 1], bins=0),
    lambda: M.calibration_curve([0.5, 0.1], [0, 1], strategy="odd"),
    lambda: M.expected_calibration_error(3 * P, C),
    lambda: M.wilson_interval(3, 2),
    lambda: M.wilson_interval(0, 0),
    lambda: M.wilson_interval(1, 2, 1.0),
    lambda: M.bootstrap_interval(M.accuracy, [], []),
    lambda: M.bootstrap_interval(M.accuracy, [0, 1], [0, 1], samples=0),
    lambda: M.bootstrap_interval(M.roc_auc, [0.1], [1]),
    lambda: M.bootstrap_interval(M.accuracy, [0, 1], [0, 1], seed=-1),
    lambda: M.mcnemar([], [], []),
    lambda: M.paired_bootstrap(M.accuracy, [0], [0, 1], [0, 1]),
    lambda: M.examples_needed(0.1, 0),
    lambda: M.examples_needed(0.9, 0.2),
    lambda: M.by_slice(M.accuracy, [0], [0], []),
])  # fmt: skip
def test_malformed_input_is_an_error(call):
    with pytest.raises(ValueError):
        call()


def test_pictures(tmp_path):
    pytest.importorskip("matplotlib")
    from fastnn.metrics import figures

    figures.plot_roc({"model": S, "chance": RNG.rand(400)}, T, tmp_path / "roc.png", "ROC")
    figures.plot_precision_recall({"model": S, "chance": RNG.rand(400)}, T, tmp_path / "pr.png", "precision-recall")
    figures.plot_reliability({"softmax": P, "surer": P**3 / (P**3).sum(1, keepdims=True)}, C, tmp_path / "cal.png")
    assert all((tmp_path / f"{n}.png").stat().st_size > 10_000 for n in ("roc", "pr", "cal"))
    with pytest.raises(ValueError, match="dict"):
        figures.plot_roc(S, T, tmp_path / "x.png")
