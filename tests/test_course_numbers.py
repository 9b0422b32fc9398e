"""The worked numbers of the course, part one: derivatives, logistic regression, networks. Computed by this library.

``docs/course.md`` links here. Numbers are the course's where it prints them (rounded as printed), otherwise the same
example carried through in float64.
"""

import math

import numpy as np
import pytest
from course import B1, B2, W1, W2, X3, Y3, arr, close, leaf, network, t64

import fastnn
import fastnn.nn.functional as F
from fastnn import nn, optim

# --- derivatives and the computation graph ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "f,a,value,slope",
    [
        (lambda a: 3 * a, 2.0, 6.0, 3.0), (lambda a: 3 * a, 5.0, 15.0, 3.0),
        (lambda a: a * a, 2.0, 4.0, 4.0), (lambda a: a * a, 5.0, 25.0, 10.0),
        (lambda a: a * a * a, 2.0, 8.0, 12.0), (lambda a: a.log(), 2.0, 0.6931471806, 0.5),
    ],
)  # fmt: skip
def test_derivative_is_the_slope(f, a, value, slope):
    x = leaf(a)
    y = f(x)
    y.backward()
    close(y, value, 1e-10)
    close(x.grad, slope, 1e-12)
    nudged = (f(t64(a + 0.001)).item() - value) / 0.001
    assert nudged == pytest.approx(slope, rel=1e-3)


def test_computation_graph():
    a, b, c = leaf(5.0), leaf(3.0), leaf(2.0)
    u = b * c
    v = a + u
    j = 3 * v
    for t in (u, v):
        t.retain_grad()
    j.backward()
    assert (u.item(), v.item(), j.item()) == (6, 11, 33)
    assert [t.grad.item() for t in (v, a, u, b, c)] == [3, 3, 3, 6, 9]


# --- logistic regression ------------------------------------------------------------------------------------------


def test_sigmoid_and_its_slope():
    z = leaf([0.0, 10.0, -10.0, 710.0, -710.0])
    a = z.sigmoid()
    close(a, [0.5, 0.9999546021, 4.5397868702e-05, 1, 0], 1e-10)
    a.sum().backward()
    close(z.grad, [0.25, 4.5395807736e-05, 4.5395807736e-05, 0, 0], 1e-12)


def test_cross_entropy_of_one_example():
    p = t64([0.9, 0.9])
    close(F.binary_cross_entropy(p, t64([1.0, 0.0]), reduction="none"), [0.1053605157, 2.3025850930], 1e-9)


def test_one_example_forward_and_backward():
    w, b, x, y = leaf([0.5, -0.3]), leaf(0.1), t64([2.0, 1.0]), t64(1.0)
    z = (w * x).sum() + b
    a = z.sigmoid()
    for t in (z, a):
        t.retain_grad()
    loss = -(y * a.log() + (1 - y) * (1 - a).log())
    loss.backward()
    close(z, 0.8), close(a, 0.6899744811), close(loss, 0.3711006659)
    close(a.grad, -1.4493289641), close(z.grad, -0.3100255189)
    close(w.grad, [-0.6200510377, -0.3100255189]), close(b.grad, -0.3100255189)


X4, Y4 = [[1, 2], [-1, 1], [2, -1], [0.5, 3]], [[1], [0], [1], [0]]  # the course's columns are rows here


def test_logistic_regression_one_step_and_a_hundred():
    x, y = t64(X4), t64(Y4)
    w, b = nn.Parameter(t64([[0.1], [-0.2]])), nn.Parameter(t64([0.05]))
    opt = optim.SGD([w, b], lr=0.1)
    costs = []
    for step in range(101):
        opt.zero_grad()
        z = x @ w + b
        cost = F.binary_cross_entropy_with_logits(z, y)
        cost.backward()
        costs.append(cost.item())
        if step == 0:
            close(z.sigmoid().reshape(-1), [0.4378235, 0.4378235, 0.61063923, 0.37754067])
            close(w.grad.reshape(-1), [-0.3974878, 0.20886332]), close(b.grad, [-0.0340432748])
        if step < 100:
            opt.step()
        if step == 0:
            close(w.reshape(-1), [0.13974878, -0.22088633]), close(b, [0.0534043275])
    close(costs[:2], [0.5923011925, 0.5724868115]), close(costs[100], 0.2160690518)
    close(w.reshape(-1), [1.76798187, -0.72676351]), close(b, [0.2027797283])
    assert (arr(x @ w + b)[:, 0] > 0).astype(int).tolist() == [1, 0, 1, 0]


def test_the_loops_agree_with_the_vectorised_program():
    w, b, x, y = [0.1, -0.2], 0.05, X4, [row[0] for row in Y4]
    cost = db = 0.0
    dw = [0.0, 0.0]
    for xi, yi in zip(x, y):
        z = sum(wj * xj for wj, xj in zip(w, xi)) + b
        a = 1 / (1 + math.exp(-z))
        cost -= yi * math.log(a) + (1 - yi) * math.log(1 - a)
        dz = a - yi
        dw = [d + xj * dz for d, xj in zip(dw, xi)]
        db += dz
    wt, bt = leaf([[0.1], [-0.2]]), leaf([0.05])
    J = F.binary_cross_entropy_with_logits(t64(x) @ wt + bt, t64(Y4))
    J.backward()
    close(J, cost / 4, 1e-12), close(wt.grad.reshape(-1), np.array(dw) / 4, 1e-12), close(bt.grad, [db / 4], 1e-12)


def test_cost_is_the_mean_negative_log_likelihood():
    p, y = np.array([0.9, 0.2, 0.6]), np.array([1.0, 0.0, 1.0])
    likelihood = np.prod(p**y * (1 - p) ** (1 - y))
    close(F.binary_cross_entropy(t64(p), t64(y)) * 3, -math.log(likelihood), 1e-12)


def test_theta_convention_equals_w_and_b():
    x, w, b = t64(X4), t64([[0.3], [0.7]]), t64([0.2])
    ones = fastnn.cat([fastnn.ones((4, 1), dtype=fastnn.float64), x], 1)
    close(ones @ fastnn.cat([b.reshape(1, 1), w], 0), arr(F.linear(x, w, b)), 1e-15)


# --- vectors, broadcasting ----------------------------------------------------------------------------------------


def test_calories():
    a = t64([[56.0, 0.0, 4.4, 68.0], [1.2, 104.0, 52.0, 8.0], [1.8, 135.0, 99.0, 0.9]])
    total = a.sum(0)
    close(total, [59, 239, 155.4, 76.9], 1e-12)
    percent = 100 * a / total.reshape(1, 4)
    close(percent, [[94.91525424, 0, 2.83140283, 88.42652796], [2.03389831, 43.51464435, 33.46203346, 10.40312094],
                    [3.05084746, 56.48535565, 63.70656371, 1.17035111]], 5e-9)  # fmt: skip
    close(percent.sum(0), [100, 100, 100, 100], 1e-12)


def test_broadcasting_examples():
    m = t64([[1, 2, 3], [4, 5, 6]])
    close(t64([[1], [2], [3], [4]]) + 100, [[101], [102], [103], [104]])
    close(m + t64([100, 200, 300]), [[101, 202, 303], [104, 205, 306]])
    close(m + t64([[100], [200]]), [[101, 102, 103], [204, 205, 206]])
    close(t64([[1], [2], [3]]) + t64([[10, 20]]), [[11, 21], [12, 22], [13, 23]])  # no error: a matrix


def test_gradient_of_a_broadcast_is_a_sum():
    b = leaf([[1.0], [2.0]])
    (t64([[1, 2, 3], [4, 5, 6]]) * b).sum().backward()
    close(b.grad, [[6], [15]])


def test_rank_one_arrays_and_columns():
    a = t64([0.50290632, -0.29691149, 0.95429604, -0.82126861, -1.46269164])
    assert a.shape == (5,) and a.T.shape == (5,)
    close(a @ a, 4.06570109, 1e-8)
    column = t64([-0.0967311, -2.38617377, -0.3243588, -0.96216349, 0.54410384]).reshape(5, 1)
    outer = column @ column.T
    assert outer.shape == (5, 5)
    close(outer[0], [0.00935691, 0.23081721, 0.03137558, 0.09307113, -0.05263176])
    close(outer[4], [-0.05263176, -1.29832631, -0.17648487, -0.52351685, 0.29604899])


def test_image_unrolls_to_12288_numbers():
    assert nn.Flatten()(fastnn.zeros((2, 64, 64, 3))).shape == (2, 64 * 64 * 3) == (2, 12288)


def test_one_neuron_is_a_bent_line():
    size = t64([100.0, 250.0, 1000.0])
    close(F.relu(0.2 * size - 50), [0, 0, 150], 1e-12)  # a price is never negative


# --- networks with hidden layers ----------------------------------------------------------------------------------

HIDDEN = {
    "tanh": (nn.Tanh, 0.6376109300, [0.49866036, 0.43973469, 0.52852885],
             [0.03567745, 0.012981, -0.00190466, -0.19562691], -0.17769204,
             [-0.0519069, 0.03154828, -0.01808806, -0.04760623]),
    "relu": (nn.ReLU, 0.6487361611, [0.51724316, 0.47028506, 0.52123721],
             [0.00470285, -0.01746379, 0.00207797, -0.16202222], -0.16374486,
             [0.04702851, 0.00083145, -0.01637449, -0.12820262]),
    "leaky": (nn.LeakyReLU, 0.6485570164, None, [0.00500521, -0.0171661, 0.00204673, -0.16253825], -0.16386198, None),
    "sigmoid": (nn.Sigmoid, 0.6458787670, None, [-0.04816129, -0.04943976, -0.0525888, -0.10699698], -0.11301098, None),
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_one_hidden_layer(name):
    activation, cost, a2, dw2, db2, db1 = HIDDEN[name]
    model = network((W1, B1), (W2, B2), activation=activation)
    z = model(t64(X3.T))
    J = F.binary_cross_entropy_with_logits(z, t64(Y3.T))
    J.backward()
    close(J, cost), close(model[2].weight.grad.T, [dw2]), close(model[2].bias.grad, [db2])
    if a2:
        close(z.sigmoid().T, [a2]), close(model[0].bias.grad, db1)
    if name == "tanh":
        dw1 = [[-0.1162106, 0.11143196, -0.00001288], [0.06925216, -0.06766178, 0.00383436],
               [-0.03648641, 0.03251961, 0.00187914], [-0.12633931, 0.13332587, -0.00935365]]  # fmt: skip
        close(model[0].weight.grad.T, dw1)


def test_two_hidden_layers():
    w2 = np.array([[0.3, -0.2, 0.1, 0.4], [-0.1, 0.2, 0.5, -0.3]])
    layers = (W1, B1), (w2, np.array([0.02, -0.03])), (np.array([[0.5, -0.4]]), np.array([0.05]))
    model = network(*layers, activation=nn.ReLU)
    z = model(t64(X3.T))
    J = F.binary_cross_entropy_with_logits(z, t64(Y3.T))
    J.backward()
    close(J, 0.6403932878), close(z.sigmoid().T, [[0.53606227, 0.49032621, 0.53596279]])
    close(model[4].weight.grad.T, [[-0.06077384, 0.03319932]]), close(model[4].bias.grad, [-0.14588291])
    close(model[2].weight.grad.T, [[0.00245163, -0.00628093, 0.00321226, -0.07810248],
                                   [-0.0019613, -0.02157435, -0.00442556, 0.02351122]])  # fmt: skip
    dw1 = [[-0.03105399, 0.06210799, 0.015527], [0.04488416, -0.05883914, -0.03017438],
           [0.02838495, -0.06063355, 0.03027693], [-0.05567783, 0.02474865, -0.04331677]]  # fmt: skip
    close(model[0].weight.grad.T, dw1)


def test_batch_and_single_examples_agree():
    model = network((W1, B1), (W2, B2), activation=nn.Tanh)
    whole = arr(model(t64(X3.T)))
    for i in range(3):
        np.testing.assert_array_equal(arr(model(t64(X3.T[i : i + 1]))), whole[i : i + 1])


def test_linear_layers_collapse_into_one():
    w1, b1 = np.array([[1, 2], [0, 1], [-1, 1.0]]), np.array([1, 0, -1.0])
    w2, b2 = np.array([[1, 0, 2], [3, -1, 1.0]]), np.array([0.5, -0.5])
    model = network((w1, b1), (w2, b2), activation=nn.Identity)
    x = np.random.default_rng(0).standard_normal((5, 2))
    close(model(t64(x)), x @ np.array([[-1, 4], [2, 6.0]]).T + [-0.5, 1.5], 1e-12)


def test_activation_values_and_slopes():
    z = leaf([10.0, 0.0, -10.0])
    z.tanh().sum().backward()
    close(z.grad, [8.2446e-09, 1, 8.2446e-09], 1e-12)
    assert t64(0.7).tanh().item() == pytest.approx(0.6043677771) == 2 * t64(1.4).sigmoid().item() - 1
    for fn, slopes in ((F.relu, [1, 0, 0]), (F.leaky_relu, [1, 0.01, 0.01])):  # the convention at 0
        z.grad = None
        fn(z).sum().backward()
        close(z.grad, slopes)


def test_all_zero_start():
    model = network((np.zeros((4, 3)), np.zeros(4)), (np.zeros((1, 4)), np.zeros(1)), activation=nn.Tanh)
    J = F.binary_cross_entropy_with_logits(model(t64(X3.T)), t64(Y3.T))
    J.backward()
    close(J, 0.6931471806), close(model[2].bias.grad, [-1 / 6])
    assert all((arr(p.grad) == 0).all() for p in (model[0].weight, model[0].bias, model[2].weight))
