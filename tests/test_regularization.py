"""Penalties, max-norm, channel dropout, stochastic depth, averaged weights, ensembles."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.optim import WeightAverage, exponentially_weighted_average
from fastnn.train import AverageWeights, Ensemble, MaxNorm, Snapshots, Trainer


def array(t):
    return t.detach().numpy()


def test_penalties_and_weight_decay():
    """The gradient of lambda / 2m ||W||^2 is lambda / m W: one step is W (1 - alpha lambda / m)."""
    layer = nn.Linear(3, 2)
    w = array(layer.weight).copy()
    assert nn.l2_penalty(layer, 0.7, 10).item() == pytest.approx(0.7 / 20 * (w**2).sum(), rel=1e-5)
    assert nn.l1_penalty(layer, 0.7, 10).item() == pytest.approx(0.7 / 20 * abs(w).sum(), rel=1e-5)
    nn.l2_penalty(layer, 0.7, 10).backward()
    np.testing.assert_allclose(array(layer.weight.grad), 0.7 / 10 * w, rtol=1e-5)
    assert layer.bias.grad is None  # biases are left alone
    optim.SGD([layer.weight], lr=0.5).step()
    np.testing.assert_allclose(array(layer.weight), w * (1 - 0.5 * 0.7 / 10), rtol=1e-5)


def test_l1_makes_weights_small_one_by_one():
    w = nn.Parameter(fastnn.tensor([[1.0, -0.01]]))
    nn.l1_penalty([w], 2.0).backward()
    np.testing.assert_allclose(array(w.grad), [[1, -1]])


@pytest.mark.parametrize("shape", [(4, 3), (3, 3, 2, 5)])
def test_max_norm(shape):
    w = nn.Parameter(fastnn.randn(*shape) * 5)
    w.detach()[..., 0].mul_(1e-3)
    before = array(w).copy()
    nn.max_norm_(w, 2.0)
    norms = np.sqrt((array(w) ** 2).reshape(-1, shape[-1]).sum(0))
    assert norms.max() <= 2.0 + 1e-5
    assert (array(w)[..., 0] == before[..., 0]).all()  # short ones stay as they are
    np.testing.assert_allclose(array(w) / norms, before / np.sqrt((before**2).reshape(-1, shape[-1]).sum(0)), rtol=1e-4)


@pytest.mark.parametrize("kind, shape", [(nn.Dropout1d, (8, 5, 16)), (nn.Dropout2d, (8, 4, 5, 16)),
                                         (nn.Dropout3d, (8, 2, 3, 4, 16))])  # fmt: skip
def test_whole_channels_are_dropped(kind, shape):
    fastnn.manual_seed(0)
    layer, x = kind(0.25), fastnn.ones(shape)
    y = array(layer(x)).reshape(shape[0], -1, shape[-1])
    assert (y == y[:, :1]).all()  # a channel of an example is there or not
    assert set(np.unique(y)) <= {0, np.float32(1 / 0.75)} and abs((y == 0).mean() - 0.25) < 0.12
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match=rf"{kind.__name__}: expected x of shape \[N, "):
        kind()(fastnn.ones(3))


def test_stochastic_depth_drops_examples():
    fastnn.manual_seed(0)
    layer = nn.StochasticDepth(0.4)
    y = array(layer(fastnn.ones(500, 3)))
    assert (y == y[:, :1]).all() and abs((y == 0).mean() - 0.4) < 0.06 and y.max() == pytest.approx(1 / 0.6)
    assert (array(layer.eval()(fastnn.ones(5, 3))) == 1).all()


def test_monitoring_without_dropout():
    model = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5), nn.Dropout1d(0.3), nn.StochasticDepth(0.2))
    with nn.without_dropout(model):
        assert [m.p for m in list(model)[1:]] == [0, 0, 0]
    assert [m.p for m in list(model)[1:]] == [0.5, 0.3, 0.2]
    rnn, x = nn.LSTM(4, 4, num_layers=2, dropout=0.5), fastnn.ones(3, 5, 4)
    with nn.without_dropout(rnn):
        assert (array(rnn(x)[0]) == array(rnn(x)[0])).all()
    assert rnn.dropout == 0.5 and (array(rnn(x)[0]) != array(rnn(x)[0])).any()


def test_dropout_of_channels_is_captured_with_the_same_bits():
    x = fastnn.randn(4, 3, 3, 8)
    model = nn.Sequential(nn.Dropout2d(0.5), nn.StochasticDepth(0.3))
    step = fastnn.capture(lambda x: model(x).sum())
    fastnn.manual_seed(1)
    captured = [step(x).item() for _ in range(6)]
    fastnn.manual_seed(1)
    assert captured == [model(x).sum().item() for _ in range(6)]


# --- averages -------------------------------------------------------------------------------------------------------


def test_course_temperatures():
    """beta = 0.9 from 40, 49, 45: 4, 8.5, 12.15; corrected 40, 44.7368, 44.8339."""
    np.testing.assert_allclose(exponentially_weighted_average([40, 49, 45], 0.9, False), [4, 8.5, 12.15])
    np.testing.assert_allclose(exponentially_weighted_average([40, 49, 45]), [40, 44.7368421, 44.8339483], rtol=1e-8)
    assert exponentially_weighted_average(np.ones((3, 2))).shape == (3, 2)
    with pytest.raises(ValueError, match="0 <= beta < 1"):
        exponentially_weighted_average([1], 1)


@pytest.mark.parametrize("beta", [0.9, None])
def test_averaged_weights(beta):
    model = nn.Linear(3, 2)
    average, seen = WeightAverage(model, beta), []
    for _ in range(5):
        with fastnn.no_grad():
            model.weight.add_(fastnn.randn(3, 2))
        average.update()
        seen.append(array(model.weight).copy())
    want = np.mean(seen, 0) if beta is None else exponentially_weighted_average(seen, beta)[-1]
    with average.applied():
        np.testing.assert_allclose(array(model.weight), want, rtol=1e-5, atol=1e-6)
    assert (array(model.weight) == seen[-1]).all()
    other = WeightAverage(model, beta)
    other.load_state_dict(average.state_dict())
    assert (array(other.weights()["weight"]) == array(average.weights()["weight"])).all()
    with pytest.raises(ValueError, match="other parameters"):
        other.load_state_dict(WeightAverage(nn.Linear(2, 2)).state_dict())
    with pytest.raises(ValueError, match="not been called"):
        WeightAverage(model).weights()


def make(callbacks, **options):
    fastnn.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))
    optimizer = optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=callbacks, progress=False, **options)


def loader():
    random = np.random.RandomState(0)
    x = random.randn(90, 4).astype(np.float32)
    return DataLoader(TensorDataset(x, np.argmax(x[:, :3], 1).astype(np.int64)), 30, shuffle=True, seed=1)


def weights(trainer):
    return np.concatenate([array(p).ravel() for p in trainer.model.parameters()])


@pytest.mark.parametrize("beta", [0.95, None])
def test_averaging_in_a_trainer_survives_a_resume(tmp_path, beta):
    file = tmp_path / "c.safetensors"
    whole = make([AverageWeights(beta)])
    whole.fit(loader(), epochs=4)
    part = make([AverageWeights(beta, apply=False)], checkpoint=file)
    part.fit(loader(), epochs=2)
    again = make([AverageWeights(beta)], checkpoint=file)
    again.fit(loader(), epochs=4, resume=True)
    assert (weights(again) == weights(whole)).all()
    plain = make([])
    plain.fit(loader(), epochs=4)
    assert (weights(plain) != weights(whole)).any()


def test_max_norm_in_a_trainer():
    trainer = make([MaxNorm(0.5)])
    trainer.fit(loader(), epochs=3)
    for p in trainer.model.parameters():
        if p.ndim == 2:
            assert np.linalg.norm(array(p), axis=0).max() <= 0.5 + 1e-5


def test_snapshots_vote():
    snapshots = Snapshots(every=2, keep=2)
    trainer = make([snapshots])
    trainer.fit(loader(), epochs=6)
    assert len(snapshots.states) == 2
    ensemble = Ensemble(lambda: make([]).model, snapshots.states)
    x = fastnn.randn(5, 4)
    members = [array(F.softmax(m(x), -1)) for m in ensemble.members]
    np.testing.assert_allclose(np.exp(array(ensemble(x))), np.mean(members, 0), rtol=1e-5)
    assert (array(ensemble.members[1](x)) == array(trainer.model(x))).all()


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: nn.max_norm_([], 1), "at least one weight"),
        (lambda: nn.max_norm_(fastnn.ones(2, 2), 0), "limit > 0"),
        (lambda: nn.StochasticDepth(2), "probability"),
        (lambda: nn.Dropout2d(-1), "probability"),
        (lambda: WeightAverage(nn.Linear(1, 1), 1.0), "0 <= beta < 1"),
        (lambda: WeightAverage(nn.ReLU()), "no parameters"),
        (lambda: MaxNorm(-1), "limit > 0"),
        (lambda: Snapshots(0), "every >= 1"),
        (lambda: Ensemble([]), "at least one model"),
        (lambda: Ensemble(lambda: 1), "states of the members"),
    ],
)
def test_wrong_settings(call, text):
    with pytest.raises(ValueError, match=text):
        call()
