"""The worked numbers of the course on strategy: splits, diagnosis tables, error analysis, choosing a model, many tasks.

Where the printed numbers are wrong (an average of 5.25 that is 5.5), the right ones are tested.
"""

import math

import numpy as np
import pytest
from course import t64

import fastnn
import fastnn.nn.functional as F
from fastnn import data, metrics, nn, strategy
from fastnn.strategy import diagnose

BIAS, VARIANCE, MISMATCH = "avoidable bias", "variance", "data mismatch"
DEV, EITHER = "overfitting to the dev set", "variance or data mismatch"


def percent(**errors):
    return {k: v / 100 for k, v in errors.items()}


def sizes(diagnosis):
    return [round(100 * gap.size, 10) for gap in diagnosis.gaps]


# --- train, dev and test sets (2.1-03, 2.1-04, 3.1-10 to 3.1-17)


def test_ratios_by_size():
    assert data.split_sizes(100, "train-test") == [70, 30]
    for n in (100, 1000, 10_000):
        assert data.split_sizes(n, "classic") == data.split_sizes(n) == [n * 6 // 10, n // 5, n // 5]
    assert data.split_sizes(10**6, "big") == data.split_sizes(10**6) == [980_000, 10_000, 10_000]
    assert data.split_sizes(10**6, "huge") == [995_000, 2_500, 2_500]
    assert data.split_sizes(10**6, "huge-dev") == [995_000, 4_000, 1_000]


def test_eight_regions_are_all_in_dev_and_test():
    regions = "US UK Europe South-America India China Asia Australia".split()
    region = np.repeat(regions, 500)
    _, dev, test = data.split_indices(4000, [0.6, 0.2, 0.2], stratify=region)
    assert all((region[part] == r).sum() == 100 for part in (dev, test) for r in regions)
    _, dev, test = data.split_indices(4000, [0.6, 0.2, 0.2])  # shuffled only
    assert all((region[part] == r).sum() > 60 for part in (dev, test) for r in regions)


def test_web_and_phone_pictures():
    source = np.repeat(["web", "phone"], [200_000, 10_000])
    _, dev, _ = data.split_indices(210_000, [205_000, 2_500, 2_500], stratify=source)  # the bad way: all shuffled
    assert (source[dev] == "web").sum() == 2381 and (source[dev] == "phone").sum() == 119
    s = data.split_by_source(source, "phone", dev=2_500, test=2_500)
    assert [len(p) for p in s] == [205_000, 0, 2_500, 2_500]
    assert (source[s.train] == "phone").sum() == 5_000 and set(source[s.dev]) == set(source[s.test]) == {"phone"}


def test_speech_for_the_rear_view_mirror():
    source = np.repeat([0, 1], [500_000, 20_000])
    a = data.split_by_source(source, 1, dev=10_000, test=10_000)
    b = data.split_by_source(source, 1, dev=5_000, test=5_000)
    assert [len(p) for p in a] == [500_000, 0, 10_000, 10_000] and [len(p) for p in b] == [510_000, 0, 5_000, 5_000]


def test_how_sure_ten_thousand_test_examples_make():
    error = metrics.wilson_interval(100, 10_000, confidence=0.6826895)  # one standard deviation
    assert (error.high - error.low) / 2 == pytest.approx(0.000995, abs=2e-6)


# --- bias and variance (2.1-08, 3.1-25 to 3.1-29)


@pytest.mark.parametrize("train, dev, bayes, problems", [
    (1, 11, 0, [VARIANCE]),
    (15, 16, 0, [BIAS]),
    (15, 30, 0, [BIAS, VARIANCE]),
    (0.5, 1, 0, []),
    (15, 16, 15, []),
])  # fmt: skip
def test_high_bias_high_variance(train, dev, bayes, problems):
    d = diagnose(**percent(human=bayes, train=train, dev=dev))
    assert sorted(d.problems) == sorted(problems)


def test_avoidable_bias_or_variance():
    d = diagnose(**percent(human=1, train=8, dev=10))
    assert sizes(d) == [7, 2] and d.largest == BIAS and "bigger model" in d.remedies[0]
    d = diagnose(**percent(human=7.5, train=8, dev=10))
    assert sizes(d) == [0.5, 2] and d.largest == VARIANCE and "more training data" in d.remedies[0]
    assert sizes(diagnose(**percent(human=1, train=7, dev=7))) == [6, 0]
    assert diagnose(**percent(human=7, train=8, dev=10)).largest == VARIANCE


DOCTORS = {"one doctor": 0.01, "an experienced doctor": 0.007, "a team of them": 0.005}


def test_the_team_of_doctors_stands_for_bayes():
    d = diagnose({"anybody": 0.03, **DOCTORS}, 0.05, None, 0.06)
    assert d.errors["human"] == 0.005


@pytest.mark.parametrize("train, dev, biases, verdicts", [
    (5, 6, [4, 4.3, 4.5], [BIAS] * 3),
    (1, 5, [0, 0.3, 0.5], [VARIANCE] * 3),
    (0.7, 0.8, [-0.3, 0, 0.2], [None, VARIANCE, BIAS]),  # here it matters who counts
])  # fmt: skip
def test_which_human_counts(train, dev, biases, verdicts):
    d = diagnose(DOCTORS, train / 100, None, dev / 100)
    assert [round(100 * b, 10) for b, _ in d.by_human.values()] == biases
    assert [cause for _, cause in d.by_human.values()] == verdicts and d.largest == verdicts[-1]
    assert d.depends_on_human == (len(set(verdicts)) > 1)
    assert ("depends on what counts as human level" in str(d)) == d.depends_on_human


def test_below_human_level():
    team = {"team": 0.005, "one human": 0.01}
    d = diagnose(team, **percent(train=0.6, dev=0.8))
    assert sizes(d) == [0.1, 0.2] and d.largest == VARIANCE
    d = diagnose(team, **percent(train=0.3, dev=0.4))
    assert d.largest is None and "do not say" in str(d) and "not known" in str(d)
    assert diagnose(team, **percent(train=0.3, dev=4)).largest == VARIANCE  # more than any avoidable bias could be
    known = diagnose(bayes=0.004, **percent(human=0.5, train=0.3, dev=0.4))
    assert known.largest == VARIANCE and "noise of its training set" in str(known)


# --- different distributions (3.2-12 to 3.2-16)


@pytest.mark.parametrize("train, train_dev, dev, gaps, problems", [
    (1, 9, 10, [1, 8, 1], [VARIANCE]),
    (1, 1.5, 10, [1, 0.5, 8.5], [MISMATCH]),
    (10, 11, 12, [10, 1, 1], [BIAS]),
    (10, 11, 20, [10, 1, 9], [BIAS, MISMATCH]),
])  # fmt: skip
def test_the_train_dev_set_tells_variance_from_mismatch(train, train_dev, dev, gaps, problems):
    d = diagnose(**percent(train=train, train_dev=train_dev, dev=dev))
    assert sizes(d) == gaps and d.problems == problems and d.largest == problems[0]


def test_without_a_train_dev_set_two_causes_are_one():
    d = diagnose(**percent(train=1, dev=10), same_distribution=False)
    assert sizes(d) == [1, 9] and d.largest == EITHER and "train-dev" in d.remedies[0]
    assert diagnose(**percent(train=1, dev=10)).largest == VARIANCE


def test_the_whole_chain():
    d = diagnose(0.04, 0.07, 0.10, 0.12, 0.12)
    assert sizes(d) == [3, 3, 2, 0] and d.largest == BIAS and d.problems == [BIAS, VARIANCE, MISMATCH]
    d = diagnose(0.04, 0.07, 0.10, 0.06, 0.06)
    assert sizes(d) == [3, 3, -4, 0] and "easier than the training data" in str(d)
    d = diagnose(0.04, 0.05, 0.05, 0.06, 0.12)
    assert d.largest == DEV and d.remedies == ("get a bigger dev set",)


def test_the_general_table():
    m = strategy.ErrorMatrix({"general speech": percent(human=4, trained=7, untrained=10),
                              "rear-view mirror": percent(human=6, trained=6, untrained=6)})  # fmt: skip
    gaps = [m.gap(c, "general speech") for c in (BIAS, VARIANCE)] + [
        m.gap(c, "rear-view mirror") for c in (BIAS, VARIANCE, MISMATCH, "difficulty")
    ]
    assert [round(100 * g, 10) for g in gaps] == [3, 3, 0, 0, -4, 2]
    assert "rear-view mirror is harder" in str(m) and "at human level already" in str(m)


def test_orthogonal_knobs():
    """Training set, dev set, test set, real world: a knob for each (3.1-03)."""
    chains = {"avoidable bias": (0.1, 0.1, 0.1, 0.1), "variance": (0.01, 0.1, 0.1, 0.1), DEV: (0.01, 0.01, 0.1, 0.1),
              "wrong target": (0.01, 0.01, 0.01, 0.1)}  # fmt: skip
    words = ["bigger model", "more training data", "bigger dev set", "change the dev set or the metric"]
    for (cause, (train, dev, test, real)), word in zip(chains.items(), words):
        d = diagnose(train=train, dev=dev, test=test, real=real)
        assert d.largest == cause and word in d.remedies[0]


# --- one number to choose by (3.1-04 to 3.1-09, 3.1-18 to 3.1-20)


def counts(tp, fp, fn):
    """Predictions and labels with these counts."""
    pred = np.r_[np.ones(tp), np.ones(fp), np.zeros(fn)].astype(int)
    return pred, np.r_[np.ones(tp), np.zeros(fp), np.ones(fn)].astype(int)


def test_f1_chooses_classifier_a():
    f1 = {}
    for name, p, r, expected in (("A", 95, 90, 92.4324), ("B", 98, 85, 91.0383)):
        tp = p * r  # then p tp / 100 p = r: whole counts with exactly these rates
        pred, true = counts(tp, tp * (100 - p) // p, tp * (100 - r) // r)
        assert metrics.precision(pred, true) == pytest.approx(p / 100) and metrics.recall(pred, true) == pytest.approx(
            r / 100
        )
        f1[name] = metrics.f1_score(pred, true)
        assert 100 * f1[name] == pytest.approx(expected, abs=5e-5) and f1[name] == pytest.approx(
            2 / (100 / p + 100 / r)
        )
    assert strategy.select({k: {"f1": v} for k, v in f1.items()}, "f1").best == "A"
    assert metrics.f1_score([0, 0], [1, 1]) == metrics.f1_score([1, 1], [0, 0]) == 0  # P = R = 0


def test_four_regions():
    rows = {
        "A": (3, 7, 5, 9),
        "B": (5, 6, 5, 10),
        "C": (2, 3, 4, 5),
        "D": (5, 8, 7, 2),
        "E": (4, 5, 2, 4),
        "F": (7, 11, 8, 12),
    }
    averages = {}
    for name, errors in rows.items():
        wrong = np.concatenate([np.arange(100) < e for e in errors])
        r = metrics.by_slice(
            metrics.error_rate, wrong, np.zeros(400, int), np.repeat(["US", "China", "India", "Other"], 100)
        )
        assert r["China"] == errors[1] / 100
        averages[name] = {"error": r["average"]}
    assert [round(100 * a["error"], 10) for a in averages.values()] == [6, 6.5, 3.5, 5.5, 3.75, 9.5]
    assert strategy.select(averages, optimize="error").best == "C"


MODELS = {"A": {"accuracy": 0.90, "ms": 80}, "B": {"accuracy": 0.92, "ms": 95}, "C": {"accuracy": 0.95, "ms": 1500}}


def test_optimising_and_satisficing():
    choice = strategy.select(MODELS, optimize="accuracy", subject_to={"ms": "<=100"})
    assert choice.best == "B" and choice.ranked == ["B", "A"] and choice.rejected == {"C": ["ms <= 100"]}
    assert strategy.select(MODELS, optimize="accuracy").best == "C"
    # the contrast: with a weighted sum the units decide
    both = {k: (m["accuracy"], m["ms"]) for k, m in MODELS.items()}
    sums = {
        k: {"fraction, seconds": a - 0.5 * t / 1000, "percent, ms": 100 * a - 0.5 * t} for k, (a, t) in both.items()
    }
    assert [list(v.values()) for v in sums.values()] == [
        pytest.approx(v) for v in ([0.86, 50], [0.8725, 44.5], [0.2, -655])
    ]
    assert [strategy.select(sums, key).best for key in sums["A"]] == ["B", "A"]


def test_wake_word():
    words = {
        "loose": {"accuracy": 0.99, "false_positives_per_day": 4},
        "strict": {"accuracy": 0.96, "false_positives_per_day": 1},
    }
    assert strategy.select(words, "accuracy", {"false_positives_per_day": "<=1"}).best == "strict"


@pytest.mark.parametrize("weight, a, b", [(1, 0.03, 0.05), (10, 0.110526, 0.026316), (100, 0.184404, 0.004587)])
def test_weighted_error(weight, a, b):
    """1000 pictures, the last 100 offensive; A: 10 ordinary and 20 offensive mistakes, B: 50 and none."""
    true = np.zeros(1000, int)
    w = np.where(np.arange(1000) < 900, 1, weight)
    wrong_a, wrong_b = (np.isin(np.arange(1000), np.r_[:n, 900 : 900 + m]) for n, m in ((10, 20), (50, 0)))
    assert metrics.error_rate(wrong_a, true, sample_weight=w) == pytest.approx(a, abs=5e-7)
    assert metrics.error_rate(wrong_b, true, sample_weight=w) == pytest.approx(b, abs=5e-7)
    assert (a < b) == (weight == 1)  # the metric now prefers what the users prefer


def test_weighted_training_cost():
    scores, y, w = fastnn.randn(5, 3), fastnn.tensor([0, 1, 2, 1, 0]), fastnn.tensor([1.0, 10, 1, 1, 10])
    losses = F.cross_entropy(scores, y, reduction="none")
    cost = (losses * w).sum() / w.sum()
    rows = losses.numpy().astype(float)
    assert cost.item() == pytest.approx(sum(rows * [1, 10, 1, 1, 10]) / 23, rel=1e-6)
    # a weight of 10 is the example ten times over
    times = np.repeat(np.arange(5), [1, 10, 1, 1, 10])
    assert cost.item() == pytest.approx(
        F.cross_entropy(scores[fastnn.tensor(times)], y[fastnn.tensor(times)]).item(), rel=1e-6
    )


def test_a_tenth_of_a_percent_takes_a_big_dev_set():
    """3.1-16: 2.1 % and 1.9 % cannot be told apart on 10,000 examples; 3 % and 5 % can."""
    assert metrics.examples_needed(0.019, 0.002) > 50_000 and metrics.examples_needed(0.03, 0.02) < 10_000
    assert math.isclose(metrics.wilson_interval(0, 10**4).low, 0)


# --- error analysis (3.2-01 to 3.2-05)


def table(examples, errors, looked=100, **tags):
    """A table in which the first n rows have the tag."""
    t = strategy.ErrorTable(examples, errors, [strategy.ErrorRow(i, "cat", "dog", 0.9) for i in range(looked)])
    for tag, n in tags.items():
        t.tag(range(n), tag.replace("_", " "))
    return t


def test_dogs_among_the_mistakes():
    few, many = table(1000, 100, dogs=5), table(1000, 100, dogs=50)
    assert (
        few.error == 0.1 and few.ceiling("dogs") == pytest.approx(0.095) and many.ceiling("dogs") == pytest.approx(0.05)
    )


def test_the_spreadsheet():
    t = table(2500, 250, dog=8, great_cats=43, blurry=61)
    t.tag(range(88, 100), "Instagram")  # a column that was added on the way
    t.tag(98, "incorrectly labelled", comment="Labeler missed cat in background")
    t.tag(range(95, 100), "incorrectly labelled"), t.tag(94, "incorrectly labelled")
    shares = {r["tag"]: round(r["share"], 10) for r in t.summary()}
    assert shares == {"dog": 0.08, "great cats": 0.43, "blurry": 0.61, "Instagram": 0.12, "incorrectly labelled": 0.06}
    ceilings = {tag: round(100 * t.ceiling(tag), 10) for tag in shares}
    assert ceilings == {"dog": 9.2, "great cats": 5.7, "blurry": 3.9, "Instagram": 8.8, "incorrectly labelled": 9.4}


@pytest.mark.parametrize("error, tagged, looked, labels, rest, share, worth", [
    (10, 6, 100, 0.6, 9.4, 0.06, False),
    (2, 30, 100, 0.6, 1.4, 0.30, True),
    (10, 7, 100, 0.7, 9.3, 0.07, False),
    (2, 35, 100, 0.7, 1.3, 0.35, True),
])  # fmt: skip
def test_wrong_labels_in_the_dev_set(error, tagged, looked, labels, rest, share, worth):
    t = table(10_000, 100 * error, looked, incorrectly_labelled=tagged)
    impact = t.label_impact()
    assert [round(100 * v, 10) for v in impact[:3]] == [error, labels, rest] and impact.share == share
    assert impact.worth_fixing == worth


def test_models_closer_together_than_the_wrong_labels():
    t = table(10_000, 1_000, incorrectly_labelled=6)  # 0.6 % of the dev set; models at 2.1 % and 1.9 %
    assert not t.label_impact().worth_fixing and t.label_impact(difference=0.021 - 0.019).worth_fixing


# --- many tasks (3.2-24, 3.2-25)


def logit(p):
    p = np.asarray(p)
    return t64(np.log(p / (1 - p)))


def test_pedestrian_car_stop_sign_traffic_light():
    y = t64(np.array([[0.0, 1, 1, 0]]))
    z = logit([[0.1, 0.8, 0.7, 0.2]])
    assert nn.MultiLabelLoss()(z, y).item() == pytest.approx(0.9083225622, abs=5e-11)


Y = np.array([[1, 1, np.nan, np.nan], [0, 1, np.nan, np.nan], [np.nan, np.nan, 0, 1], [np.nan, np.nan, 1, np.nan]])
YHAT = np.array([[0.9, 0.8, 0.3, 0.4], [0.2, 0.6, 0.5, 0.7], [0.5, 0.5, 0.1, 0.9], [0.6, 0.2, 0.7, 0.5]])


@pytest.mark.parametrize("unknown", [np.nan, -1.0])
def test_unknown_labels(unknown):
    y = t64(np.where(np.isnan(Y), unknown, Y).T)  # the course has a column per example
    z = logit(YHAT.T).requires_grad_()
    loss = nn.MultiLabelLoss()(z, y)
    assert loss.item() == pytest.approx(0.4074673043, abs=5e-11)
    loss.backward()
    assert ((z.grad.numpy() == 0) == np.isnan(Y.T)).all()
    assert nn.MultiLabelLoss("known")(z, y).item() == pytest.approx(1.6298692173 / 7, abs=5e-11)
    assert nn.MultiLabelLoss()(z * 0, y).item() == pytest.approx(7 * math.log(2) / 4, abs=1e-12)
    # the same with a head for every question
    heads = {name: z[:, i : i + 1] for i, name in enumerate("abcd")}
    several = nn.MultiTaskLoss(dict.fromkeys("abcd", "binary"), normalize="batch")
    assert several(heads, y).item() == pytest.approx(0.4074673043, abs=5e-11)
