"""The scikit-learn estimators: scikit-learn's own checks, and what goes beyond them."""

import pickle

import numpy as np
import pytest

import fastnn
from fastnn import nn

pytest.importorskip("sklearn", minversion="1.6")

from scipy.sparse import csr_matrix
from sklearn.datasets import load_diabetes, load_digits, make_classification, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastnn.sklearn import FastNNClassifier, FastNNRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
CHECKS = [
    pytest.param(estimator, check, id=f"{type(estimator).__name__}-{getattr(check, 'func', check).__name__}-{i}")
    for kind in (FastNNClassifier, FastNNRegressor)
    for i, (estimator, check) in enumerate(estimator_checks_generator(kind()))
]


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    return (x / 16).astype(np.float32), y


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator, check", CHECKS)
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


def test_digits_in_a_pipeline(digits):
    x, y = digits
    pipeline = make_pipeline(StandardScaler(), FastNNClassifier((64,), learning_rate=5e-3, max_iter=30, random_state=0))
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.92


def test_search_over_settings(digits):
    x, y = digits
    search = GridSearchCV(
        FastNNClassifier((32,), max_iter=10, random_state=0), {"learning_rate": [1e-6, 1e-2]}, cv=2
    ).fit(x[:600], y[:600])
    assert search.best_params_ == {"learning_rate": 1e-2}


def test_regression_beats_the_mean():
    x, y = load_diabetes(return_X_y=True)
    x, y = StandardScaler().fit_transform(x), (y - y.mean()) / y.std()
    model = FastNNRegressor((32,), max_iter=200, early_stopping=True, random_state=0).fit(x[:350], y[:350])
    assert model.score(x[350:], y[350:]) > 0.35
    assert len(model.loss_curve_) == model.n_iter_ <= 200


def test_several_outputs_and_several_labels():
    x, y = make_multilabel_classification(300, random_state=0)
    model = FastNNClassifier(learning_rate=1e-2, max_iter=200, random_state=0).fit(x, y)
    assert model.predict(x).shape == y.shape and model.score(x, y) > 0.6
    few = FastNNClassifier(max_iter=3, random_state=0)
    assert (few.fit(x, csr_matrix(y)).predict_proba(x) == few.fit(x, y).predict_proba(x)).all()
    targets = np.stack([x[:, 0], x[:, 1] - x[:, 2]], 1)
    model = FastNNRegressor(max_iter=200, learning_rate=1e-2, random_state=0).fit(x, targets)
    assert model.predict(x).shape == (300, 2) and model.score(x, targets) > 0.9


def test_type_of_x_is_the_type_of_the_computation(digits):
    x, y = digits
    for dtype in (np.float32, np.float64):
        model = FastNNClassifier((8,), max_iter=2, random_state=0).fit(x[:100].astype(dtype), y[:100])
        assert model.predict_proba(x[:5].astype(dtype)).dtype == dtype


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.5, "batch_size": 32}])
def test_a_seed_gives_the_same_bits_and_leaves_the_callers_numbers_alone(digits, settings):
    x, y = digits
    fastnn.manual_seed(7)
    before = fastnn.get_rng_state()
    runs = [FastNNClassifier((16,), max_iter=3, random_state=3, **settings).fit(x, y) for _ in range(2)]
    assert fastnn.get_rng_state() == before
    assert (runs[0].predict_proba(x) == runs[1].predict_proba(x)).all()
    other = FastNNClassifier((16,), max_iter=3, random_state=4, **settings).fit(x, y)
    assert (runs[0].predict_proba(x) != other.predict_proba(x)).any()


def test_partial_fit_goes_on_where_fit_would(digits):
    x, y = digits
    whole = FastNNClassifier((16,), max_iter=3, batch_size=64, dropout=0.2, random_state=0).fit(x, y)
    parts = FastNNClassifier((16,), batch_size=64, dropout=0.2, random_state=0)
    for _ in range(3):
        parts.partial_fit(x, y, classes=range(10))
    assert (whole.predict_proba(x) == parts.predict_proba(x)).all()
    again = pickle.loads(pickle.dumps(parts))  # with the state of its optimiser
    assert (again.partial_fit(x, y).predict_proba(x) == parts.partial_fit(x, y).predict_proba(x)).all()


def test_warm_start_trains_on(digits):
    x, y = digits
    model = FastNNClassifier((16,), max_iter=5, warm_start=True, random_state=0).fit(x, y)
    first = model.loss_
    assert model.fit(x, y).n_iter_ == 10 and model.loss_ < first
    before = model.predict_proba(x)
    assert (model.set_params(learning_rate=0.0).fit(x, y).predict_proba(x) == before).all()
    assert (model.partial_fit(x, y).predict_proba(x) == before).all()


def test_a_network_of_ones_own(digits):
    x, y = digits

    def network(inputs, outputs):
        return nn.Sequential(nn.Unflatten(1, (8, 8, 1)), nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(),
                             nn.Linear(6 * 6 * 8, outputs))  # fmt: skip

    assert (
        FastNNClassifier(module=network, learning_rate=5e-3, max_iter=15, random_state=0).fit(x, y).score(x, y) > 0.95
    )
    given = nn.Linear(64, 10)
    start = given.weight.detach().numpy().copy()
    assert FastNNClassifier(module=given, learning_rate=1e-2, max_iter=15, random_state=0).fit(x, y).score(x, y) > 0.8
    assert (given.weight.detach().numpy() == start).all()  # the given network is copied


def test_class_weights_move_the_decision():
    x, y = make_classification(400, weights=[0.95], flip_y=0.1, random_state=0)
    plain = FastNNClassifier(max_iter=60, random_state=0).fit(x, y)
    balanced = FastNNClassifier(max_iter=60, random_state=0, class_weight="balanced").fit(x, y)
    assert balanced.predict(x).sum() > plain.predict(x).sum()


def test_early_stopping_keeps_the_best_weights(digits):
    x, y = digits
    model = FastNNClassifier((64,), learning_rate=0.02, early_stopping=True, n_iter_no_change=3, random_state=0)
    model.fit(x, y)
    assert model.n_iter_ < 200


def test_training_that_has_not_ended_says_so(digits):
    x, y = digits
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        FastNNClassifier((8,), max_iter=2).fit(x, y)


@pytest.mark.parametrize(
    "settings, text",
    [
        ({"activation": "step"}, "activation expects one of relu, tanh"),
        ({"optimizer": "newton"}, "optimizer expects one of adam"),
        ({"hidden_layer_sizes": (3, 0)}, "hidden_layer_sizes expects numbers >= 1, got 0"),
        ({"batch_size": 0}, "batch_size expects 'auto' or a whole number >= 1, got 0"),
        ({"max_iter": 0}, "max_iter expects a whole number >= 1"),
        ({"validation_fraction": 1.5}, "validation_fraction expects 0 < f < 1"),
        ({"module": 3}, "module expects an nn.Module or a function"),
        ({"module": lambda i, o: 3}, "module must make an nn.Module"),
        ({"learning_rate": -1}, "lr expects"),
        ({"class_weight": dict.fromkeys(range(10), 0)}, "class_weight leaves every example a weight of 0"),
    ],
)
def test_wrong_settings(digits, settings, text):
    x, y = digits
    with pytest.raises((ValueError, TypeError), match=text):
        FastNNClassifier(**settings).fit(x[:50], y[:50])


def test_wrong_labels_later(digits):
    x, y = digits
    model = FastNNClassifier((8,)).partial_fit(x[:50], y[:50] % 3, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"labels \[3, .* not among the classes \[0, 1, 2\]"):
        model.partial_fit(x[:50], y[:50])
    with pytest.raises(ValueError, match="zero"):
        FastNNClassifier().fit(x, y, sample_weight=np.zeros(len(y)))
