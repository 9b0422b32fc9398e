"""The worked numbers of the course, part two: regularisation, checks, optimisation, batch norm, softmax."""

import math

import numpy as np
import pytest
from course import B1, B2, W1, W2, X3, Y3, arr, close, leaf, network, t64

import fastnn
import fastnn.nn.functional as F
from fastnn import nn, optim

# --- regularisation -----------------------------------------------------------------------------------------------


def test_l2_cost_and_gradient():
    lam, m = 0.7, 3
    model = network((W1, 0.1 * np.arange(4)), (W2, B2), activation=nn.Tanh)
    squares = sum((p * p).sum() for p in (model[0].weight, model[2].weight))
    plain = F.binary_cross_entropy_with_logits(model(t64(X3.T)), t64(Y3.T))
    J = plain + lam / (2 * m) * squares
    J.backward()
    close(squares, 0.25 + 0.30, 1e-12), close(plain, 0.6402745099), close(J, 0.7044411766)
    close(model[2].weight.grad.T, [[0.1111511936, -0.0295137267, 0.0259885468, -0.0992518035]])


def test_weight_decay_factor():
    w = nn.Parameter(t64([2.0]))
    w.grad = t64([0.0])
    optim.SGD([w], lr=0.1, weight_decay=0.7 / 3).step()
    assert w.item() / 2 == pytest.approx(0.9766667, abs=1e-7)


def test_inverted_dropout_with_a_fixed_mask():
    mask = t64(np.array([[1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]]).T)
    model = network((W1, B1), (W2, B2), activation=nn.ReLU)
    a1 = F.relu(model[0](t64(X3.T))) * mask / 0.8
    z = model[2](a1)
    J = F.binary_cross_entropy_with_logits(z, t64(Y3.T))
    J.backward()
    close(a1.T, [[0, 0.0375, 0], [0.5375, 0, 0], [0, 0.475, 0.4125], [0.7875, 0, 0.475]], 1e-12)
    close(z.sigmoid().T, [[0.5268491487, 0.4896889620, 0.5327654771]]), close(J, 0.6477499449)
    close(model[2].weight.grad.T, [[0.00612111, -0.08477286, 0.01328934, -0.1981809]])
    close(model[0].bias.grad, [0.06121112, 0.03942924, 0.0009356, -0.1567309])


def test_dropout_keeps_the_mean():
    x = fastnn.ones((1000, 1000))
    kept = float((F.dropout(x, 0.2, True).numpy() != 0).mean())
    assert abs(kept - 0.8) < 5 * math.sqrt(0.8 * 0.2 / 1e6)


def test_standardisation_divides_by_the_deviation():
    from fastnn.data import Standardizer

    scaler = Standardizer()
    x = scaler.fit_transform(np.array([[1, 0], [500, 0.5], [1000, 1.0]]))
    close(scaler.mean.reshape(-1), [500.3333333, 0.5], 1e-7)
    close(scaler.std.reshape(-1) ** 2, [166333.5555556, 0.1666667], 1e-6)
    close(x.T, [[-1.224336010, -0.000817314, 1.225153324], [-1.224744871, 0, 1.224744871]], 1e-8)
    close(scaler.transform(np.array([[250, 2.0]]))[0], [-0.613802630, 3.674234614], 1e-8)


def test_signals_explode_and_vanish():
    x = np.ones((1, 2))
    for factor, after in ((1.5, 1.728e26), (0.5, 1.4013e-45), (0.9, 1.5210e-07), (1.1, 1.4707e6)):
        y = t64(x)
        w = t64(factor * np.eye(2))
        for _ in range(149):
            y = y @ w
        assert arr(y)[0, 0] == pytest.approx(after, rel=1e-3)


# --- gradient checking --------------------------------------------------------------------------------------------


def test_two_sided_difference():
    def cube(v):
        x = t64(v)
        return (x * x * x).item()

    assert (cube(1.01) - cube(0.99)) / 0.02 == pytest.approx(3.0001, abs=1e-10)
    assert (cube(1.01) - cube(1.0)) / 0.01 == pytest.approx(3.0301, abs=1e-10)


def test_gradient_check_accepts_backprop_and_catches_a_bug():
    from fastnn.train import gradient_check

    model = network((W1, B1), (W2, B2), activation=nn.Tanh)
    batch = (t64(X3.T), t64(Y3.T))
    assert gradient_check(model, nn.BCEWithLogitsLoss(), batch, epsilon=1e-7).ratio < 1e-7

    class Wrong(fastnn.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, g):
            return g * 1.1

    class Buggy(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = model

        def forward(self, x):
            return Wrong.apply(self.inner(x))

    assert gradient_check(Buggy(), nn.BCEWithLogitsLoss(), batch, epsilon=1e-7).ratio > 1e-3


# --- optimisation -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "beta,averages,corrected",
    [
        (0.9, [4.0, 8.5, 12.15], [40, 44.73684211, 44.83394834]),
        (0.98, [0.8, 1.764, 2.62872], [40, 44.54545455, 44.70004081]),
        (0.5, [20, 34.5, 39.75], [40, 46, 45.42857143]),
    ],
)
def test_exponentially_weighted_average(beta, averages, corrected):
    # London's first three days, 40, 49 and 45 degrees: Adam's first moment is this average
    p = nn.Parameter(t64([0.0]))
    opt = optim.Adam([p], betas=(beta, 0.0), lr=1.0)
    for day, theta in enumerate((40.0, 49.0, 45.0)):
        p.grad = t64([theta])
        opt.step()
        v = opt.state[p]["exp_avg"].item()
        assert v == pytest.approx(averages[day]) and v / (1 - beta ** (day + 1)) == pytest.approx(corrected[day])


def test_window_of_the_average():
    assert 0.9**10 == pytest.approx(0.35, abs=2e-3) and 0.98**50 == pytest.approx(1 / math.e, abs=4e-3)


def test_momentum_with_and_without_one_minus_beta():
    def path(make):
        w = nn.Parameter(t64(0.0))
        opt, out = make([w]), []
        for _ in range(5):
            opt.zero_grad()
            ((w - 5) * (w - 5)).backward()
            opt.step()
            out.append(w.item())
        return out

    course = [0.1, 0.288, 0.55144, 0.8775072, 1.253417536]
    close(path(lambda p: optim.SGD(p, lr=0.1 * (1 - 0.9), momentum=0.9)), course)


def test_elongated_bowl():
    def last(make, steps=100):
        w = nn.Parameter(t64([10.0, 1.0]))
        opt = make([w])
        for _ in range(steps):
            opt.zero_grad()
            (0.5 * (t64([1.0, 100.0]) * w * w)).sum().backward()
            opt.step()
        return float(0.5 * (arr(w) ** 2 * [1, 100]).sum())

    assert last(lambda p: optim.SGD(p, lr=0.019)) == pytest.approx(1.0784, rel=1e-4)
    assert last(lambda p: optim.SGD(p, lr=0.021)) == pytest.approx(9.5e9, rel=0.01)
    assert last(lambda p: optim.SGD(p, lr=0.1 * (1 - 0.9), momentum=0.9)) == pytest.approx(4.38e-4, rel=0.01)


def test_mini_batches_keep_the_last_partial_one():
    from fastnn.data import DataLoader, TensorDataset

    sizes = [len(batch[0]) for batch in DataLoader(TensorDataset(np.zeros((148, 2), np.float32)), batch_size=64)]
    assert sizes == [64, 64, 20]
    assert len(DataLoader(TensorDataset(np.zeros((5000, 1), np.float32)), batch_size=64)) == 79


def test_learning_rate_decay():
    from fastnn.optim.lr_scheduler import ExponentialLR, InverseTimeLR, StepLR

    def rates(schedule, epochs):
        opt = optim.SGD([nn.Parameter(t64([0.0]))], lr=0.2)
        scheduler, out = schedule(opt), {0: 0.2}
        for epoch in range(1, max(epochs) + 1):
            scheduler.step()
            out[epoch] = opt.param_groups[0]["lr"]
        return [out[e] for e in epochs]

    close(rates(lambda o: InverseTimeLR(o, decay_rate=1.0), (1, 2, 3, 4)), [0.1, 0.2 / 3, 0.05, 0.04], 1e-12)
    close(rates(lambda o: ExponentialLR(o, 0.95), (0, 1, 2, 3, 10, 50)),
          [0.2, 0.19, 0.1805, 0.171475, 0.1197473879, 0.0153889951], 1e-10)  # fmt: skip
    close(rates(lambda o: StepLR(o, 10, 0.5), (0, 9, 10, 20, 30)), [0.2, 0.2, 0.1, 0.05, 0.025], 1e-12)


# --- batch normalisation ------------------------------------------------------------------------------------------


def test_batch_norm_forward_and_backward():
    z = leaf(np.array([[1, 2, 3, 4], [-2, 0, 2, 8.0]]).T)
    gamma, beta = leaf([2.0, 0.5]), leaf([1.0, -1.0])
    mean, var = t64([0.0, 0.0]), t64([1.0, 1.0])
    y = F.batch_norm(z, mean, var, gamma, beta, True, 1.0, 1e-5)
    close(y.T, [[-1.68327084, 0.10557639, 1.89442361, 3.68327084], [-1.53452229, -1.26726115, -1, -0.19821656]])
    close(mean, [2.5, 2]), close(var, [5 / 3, 56 / 3], 1e-9)  # momentum 1: the batch's own, variance unbiased
    d = np.array([[0.1, -0.2, 0.3, 0.4], [1, 0, -1, 0.5]])
    y.backward(t64(d.T))
    close(gamma.grad, [0.62609653, -0.26726115]), close(beta.grad, [0.6, 0.5])
    close(z.grad.T, [[0.28621255, -0.50087823, 0.14310878, 0.07155689],
                     [0.10738172, -0.02147634, -0.15033439, 0.06442902]])  # fmt: skip


def test_batch_norm_can_be_the_identity():
    z = np.array([[1, 2, 3, 4], [-2, 0, 2, 8.0]]).T
    y = F.batch_norm(t64(z), None, None, t64(np.sqrt(z.var(0) + 1e-5)), t64(z.mean(0)), True)
    close(y, z, 1e-12)


def test_batch_norm_running_mean():
    layer = nn.BatchNorm1d(2, momentum=0.1, affine=False, dtype=fastnn.float64)  # the course's averaging factor 0.9
    for mean in ((2.5, 2), (3.5, 3), (0.5, 0)):
        layer(t64([[m - 1.0 for m in mean], [m + 1.0 for m in mean]]))
    close(layer.running_mean, [0.5675, 0.432], 1e-12)
    close(layer.running_mean / (1 - 0.9**3), [2.0940959, 1.5940959], 1e-7)


# --- softmax ------------------------------------------------------------------------------------------------------


def test_softmax_of_four_scores():
    z = t64([5.0, 2, -1, 3])
    close(z.exp(), [148.4131591, 7.3890561, 0.3678794, 20.0855369], 1e-7)
    a = F.softmax(z, -1)
    close(a, [0.842, 0.042, 0.002, 0.114], 5e-4), close(a, [0.84203357, 0.04192238, 0.00208719, 0.11395685])
    close(F.softmax(z + 1000, -1), arr(a), 1e-15)
    assert F.one_hot(z.argmax(-1), 4).tolist() == [1, 0, 0, 0]  # hardmax


def test_softmax_of_two_classes_is_the_sigmoid():
    close(F.softmax(t64([3.0, 0.0]), -1)[0], 0.9525741268, 1e-10)
    close(t64(3.0).sigmoid(), 0.9525741268, 1e-10)


def test_cross_entropy_and_its_gradient():
    p = np.array([0.3, 0.2, 0.1, 0.4])
    z = leaf(np.log(p)[None])
    loss = F.cross_entropy(z, fastnn.tensor([1]))
    loss.backward()
    close(loss, 1.6094379124, 1e-10), close(z.grad, [[0.3, -0.8, 0.1, 0.4]], 1e-12)  # dz = a - y
    z.grad = None
    F.cross_entropy(z, t64([[0, 1.0, 0, 0]])).backward()
    close(z.grad, [[0.3, -0.8, 0.1, 0.4]], 1e-12)


def test_one_hot_labels():
    assert F.one_hot(fastnn.tensor([1, 2, 0]), 4).T.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_minimise_by_gradient_descent(dtype):
    # (w - 5)^2 and, by other coefficients, (w - 10)^2: 0 -> 0.1 (0.2) -> 4.99999 after 1000 more steps
    for coefficients, first, limit in (([1.0, -10.0, 25.0], 0.1, 5.0), ([1.0, -20.0, 100.0], 0.2, 10.0)):
        x = fastnn.tensor([[c] for c in coefficients], dtype=getattr(fastnn, dtype))
        w = nn.Parameter(fastnn.tensor(0.0, dtype=getattr(fastnn, dtype)))
        opt = optim.SGD([w], lr=0.01)
        for step in range(1001):
            opt.zero_grad()
            cost = x[0][0] * w**2 + x[1][0] * w + x[2][0]
            cost.backward()
            opt.step()
            if step == 0:
                assert w.item() == pytest.approx(first, rel=1e-6)
        assert w.item() == pytest.approx(limit * (1 - 0.98**1001), rel=1e-8 if dtype == "float64" else 5e-6)
