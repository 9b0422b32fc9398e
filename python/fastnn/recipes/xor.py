"""xor: the four points that ended the first age of neural networks. No line separates them; a hidden layer does.

fastnn train xor
"""

import fastnn
from fastnn import nn, optim
from fastnn.datasets import xor
from fastnn.recipes import _common

NAME = "xor"
DEFAULTS = dict(epochs=500, lr=0.05)
INPUT = (2,)
CLASSES = ["0", "1"]


def build_model():
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))


def prepare(points):
    """Points [N, 2] as a batch."""
    return fastnn.tensor(points)


def main(args):
    out = _common.start(args)
    x, labels = xor(4)
    y = labels.to(fastnn.float32).reshape(-1, 1)
    models = {"one neuron": nn.Sequential(nn.Linear(2, 1)), "a hidden layer of 8": build_model()}
    costs = {
        name: _common.descend(model, x, y, args.epochs, optim.Adam(model.parameters(), lr=args.lr))
        for name, model in models.items()
    }
    scores = {name: _common.accuracy(model, x, labels) for name, model in models.items()}
    model = models["a hidden layer of 8"]
    _common.save(model, out, NAME)
    for point, p in zip(x.tolist(), _common.probability(model)(x.cpu().numpy())):
        print(f"  {point[0]:.0f} xor {point[1]:.0f} = {p:.3f}")
    if not args.no_plots:
        from fastnn.train.plots import plot_curves, plot_decision_boundary

        panels = {f"{name}: {scores[name]:.0%}": _common.probability(m) for name, m in models.items()}
        plot_decision_boundary(panels, *xor(300, noise=0.08), out / "boundary.png")
        plot_curves(costs, out / "costs.png", xlabel="iteration", ylabel="cost J", title="xor: Adam on four points")
    return {"accuracy": scores["a hidden layer of 8"], "one_neuron": scores["one neuron"]}


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
