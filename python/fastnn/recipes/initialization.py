"""initialization: the same network started from zeros, from large random weights, and with He's variance 2 / n_in.

From zeros all hidden units stay equal: the network is stuck at 50 %. Large weights saturate the output and learn
slowly. He keeps the signal's size from layer to layer and learns at once.

    fastnn train initialization
"""

import fastnn
from fastnn import nn, optim
from fastnn.datasets import circles
from fastnn.recipes import _common

NAME = "initialization"
DEFAULTS = dict(epochs=6000, lr=0.05, seed=3)
METHODS = {
    "zeros": nn.init.zeros_,
    "large random (std 10)": lambda w: nn.init.normal_(w, std=10),
    "He": nn.init.kaiming_normal_,
}


def build_model(initialise):
    model = nn.Sequential(nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))
    for layer in model:
        if isinstance(layer, nn.Linear):
            initialise(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def main(args):
    out = _common.start(args)
    (x, labels), (x_test, labels_test) = circles(300, 0.05, 0.8, seed=1), circles(100, 0.05, 0.8, seed=2)
    y = labels.to(fastnn.float32).reshape(-1, 1)
    panels, costs, results = {}, {}, {}
    for (name, initialise), key in zip(METHODS.items(), ("zeros", "large", "he")):
        model = build_model(initialise)
        costs[name] = _common.descend(model, x, y, args.epochs, optim.SGD(model.parameters(), lr=args.lr))
        train, test = _common.accuracy(model, x, labels), _common.accuracy(model, x_test, labels_test)
        print(f"  {name:<22} cost {costs[name][-1]:<8.4f} train {train:.1%}   test {test:.1%}")
        panels[f"{name}\ntrain {train:.1%}, test {test:.1%}"] = _common.probability(model)
        results[f"test_{key}"] = test
    if not args.no_plots:
        from fastnn.train.plots import plot_curves, plot_decision_boundary

        plot_decision_boundary(panels, x, labels, out / "boundary.png")
        plot_curves(costs, out / "costs.png", xlabel="iteration", ylabel="cost J (log scale)", log=True,
                    title="initialization: the same network from three starts")  # fmt: skip
    return results


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
