"""planar: a flower whose petals belong to two classes. Logistic regression fails, one hidden tanh layer does it.

400 points, gradient descent on all of them. More hidden units bend the boundary more: the picture shows 1 to 20.

    fastnn train planar
"""

import fastnn
from fastnn import nn, optim
from fastnn.datasets import planar
from fastnn.recipes import _common

NAME = "planar"
DEFAULTS = dict(epochs=5000, lr=1.2, seed=1)
INPUT = (2,)
CLASSES = ["blue petals", "red petals"]


def build_model(hidden=4):
    return nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 1))


def prepare(points):
    """Points [N, 2] as a batch."""
    return fastnn.tensor(points)


def main(args):
    out = _common.start(args)
    x, labels = planar(400, seed=1)
    y = labels.to(fastnn.float32).reshape(-1, 1)

    linear = nn.Sequential(nn.Linear(2, 1))
    _common.descend(linear, x, y, args.epochs // 5, optim.SGD(linear.parameters(), lr=0.1))
    models, costs = {"logistic regression": linear}, {}
    sizes = (4,) if args.no_plots else (1, 4, 20)
    for hidden in sizes:
        fastnn.manual_seed(args.seed)  # the networks for the pictures must not change the one that is saved
        model = build_model(hidden)
        name = f"{hidden} hidden unit{'s' if hidden > 1 else ''}"
        costs[name] = _common.descend(model, x, y, args.epochs, optim.SGD(model.parameters(), lr=args.lr))
        models[name] = model
    scores = {name: _common.accuracy(m, x, labels) for name, m in models.items()}
    _common.save(models["4 hidden units"], out, NAME)
    if not args.no_plots:
        from fastnn.train.plots import plot_curves, plot_decision_boundary

        panels = {f"{name}: {scores[name]:.1%}": _common.probability(m) for name, m in models.items()}
        plot_decision_boundary(panels, x, labels, out / "boundary.png")
        plot_curves(costs, out / "costs.png", xlabel="iteration", ylabel="cost J", title="planar: gradient descent")
    return {"accuracy": scores["4 hidden units"], "logistic_regression": scores["logistic regression"]}


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
