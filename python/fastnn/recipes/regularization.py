"""regularization: the same network without regularisation, with L2 and with dropout, side by side.

211 noisy points to learn from, 200 to test on. Without regularisation the boundary winds around single points: the
training set is learnt better than it deserves. L2 (weight decay lambda / m) and dropout smooth it.

    fastnn train regularization
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.recipes import _common

NAME = "regularization"
DEFAULTS = dict(epochs=4000, lr=0.3, seed=0)
LAMBDA, KEEP_PROB = 0.7, 0.86


def football(n, seed):
    """Where the ball came down and whose player got it: two sides of a slanted line, blurred, as [N, 2] and [N]."""
    random = np.random.RandomState(seed)
    x = random.uniform(-1, 1, (n, 2)).astype(np.float32)
    side = 1.2 * x[:, 0] - x[:, 1] + 0.25 * np.sin(3 * x[:, 0])
    y = side + 0.35 * random.randn(n) > 0
    return fastnn.tensor(x), fastnn.tensor(y.astype(np.int64))


def build_model(drop=0.0):
    layers = [
        nn.Linear(2, 20),
        nn.ReLU(),
        nn.Dropout(drop),
        nn.Linear(20, 10),
        nn.ReLU(),
        nn.Dropout(drop),
        nn.Linear(10, 1),
    ]
    model = nn.Sequential(*layers)
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def descend(model, x, y, epochs, lr, weight_decay):
    """Gradient descent; only the weights decay, not the biases."""
    weights = [p for p in model.parameters() if p.ndim > 1]
    biases = [p for p in model.parameters() if p.ndim == 1]
    optimizer = optim.SGD([{"params": weights, "weight_decay": weight_decay}, {"params": biases}], lr=lr, momentum=0.9)
    return _common.descend(model, x, y, epochs, optimizer)


def main(args):
    out = _common.start(args)
    (x, labels), (x_test, labels_test) = football(211, args.seed), football(200, args.seed + 1000)
    y = labels.to(fastnn.float32).reshape(-1, 1)
    runs = {
        "no regularization": (build_model(), 0.0),
        f"L2, lambda = {LAMBDA}": (build_model(), LAMBDA / len(x)),
        f"dropout, keep_prob = {KEEP_PROB}": (build_model(drop=1 - KEEP_PROB), 0.0),
    }
    panels, costs, results = {}, {}, {}
    for (name, (model, decay)), key in zip(runs.items(), ("none", "l2", "dropout")):
        costs[name] = descend(model, x, y, args.epochs, args.lr / 10, decay)
        train, test = _common.accuracy(model, x, labels), _common.accuracy(model, x_test, labels_test)
        print(f"  {name:<28} train {train:.1%}   test {test:.1%}")
        panels[f"{name}\ntrain {train:.1%}, test {test:.1%}"] = _common.probability(model)
        results[f"train_{key}"], results[f"test_{key}"] = train, test
    if not args.no_plots:
        from fastnn.train.plots import plot_curves, plot_decision_boundary

        plot_decision_boundary(panels, x, labels, out / "boundary.png")
        plot_curves(costs, out / "costs.png", xlabel="iteration", ylabel="training cost", smooth=50,
                    title="regularization: the cost on the training set")  # fmt: skip
    return results


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
