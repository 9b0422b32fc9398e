"""optimizers: gradient descent, mini-batches, momentum, RMSprop and Adam on the same network and data.

The two half-moons, 300 points, a network 2-5-2-1, everyone with the same start and learning rate. A second picture
shows the paths of the optimisers through a narrow valley, J = (x^2 + 20 y^2) / 2.

    fastnn train optimizers
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.datasets import moons
from fastnn.recipes import _common

NAME = "optimizers"
DEFAULTS = dict(epochs=400, batch_size=64, lr=0.003, seed=3, resume=False)

# name -> (optimiser, whole training set in one batch?). This is momentum without the course's (1 - beta) in front of
# the gradient; with it, lr (1 - beta) in place of lr, it would follow mini-batch gradient descent closely here.
METHODS = {
    "gradient descent": (lambda p, lr: optim.SGD(p, lr), True),
    "mini-batch GD": (lambda p, lr: optim.SGD(p, lr), False),
    "momentum": (lambda p, lr: optim.SGD(p, lr, momentum=0.9), False),
    "RMSprop": (lambda p, lr: optim.RMSprop(p, lr, alpha=0.9), False),
    "Adam": (lambda p, lr: optim.Adam(p, lr), False),
}


def build_model():
    model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 2), nn.ReLU(), nn.Linear(2, 1))
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return model


def train(make, whole, data, args):
    """Train one model; the mean cost of every epoch."""
    fastnn.manual_seed(args.seed)  # the same start for all
    model = build_model()
    optimizer = make(model.parameters(), args.lr)
    loader = DataLoader(data, len(data) if whole else args.batch_size, shuffle=not whole)
    costs = []
    for _ in range(args.epochs):
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            cost = nn.functional.binary_cross_entropy_with_logits(model(x), y)
            cost.backward()
            optimizer.step()
            total += cost.item() * len(y)
        costs.append(total / len(data))
    return model, costs


def main(args):
    out = _common.start(args)
    x, labels = moons(300, 0.2, seed=3)
    data = TensorDataset(x, labels.to(fastnn.float32).reshape(-1, 1))
    panels, costs, results = {}, {}, {}
    for name, (make, whole) in METHODS.items():
        model, costs[name] = train(make, whole, data, args)
        score = _common.accuracy(model, x, labels)
        print(f"  {name:<18} cost {costs[name][-1]:<8.4f} accuracy {score:.1%}")
        panels[f"{name}: {score:.1%}"] = _common.probability(model)
        results[name.replace(" ", "_").replace("-", "_").lower()] = score
    if not args.no_plots:
        from fastnn.train.plots import plot_curves, plot_decision_boundary

        plot_curves(costs, out / "costs.png", xlabel="epoch", ylabel="cost J",
                    title=f"optimizers: learning rate {args.lr:g} for all")  # fmt: skip
        plot_decision_boundary(panels, x, labels, out / "boundary.png")
        draw_valley(out / "valley.png")
    return results


def valley_path(make, steps):
    """The points an optimiser visits on J = (x^2 + 20 y^2) / 2 from (-9, 2.5)."""
    w = nn.Parameter(fastnn.tensor([-9.0, 2.5]))
    curvature = fastnn.tensor([1.0, 20.0])
    optimizer = make([w])
    path = [w.detach().cpu().numpy().copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        (curvature * w * w * 0.5).sum().backward()
        optimizer.step()
        path.append(w.detach().cpu().numpy().copy())
    return np.array(path)


def draw_valley(path):
    """Contours of the valley with the paths over them."""
    from fastnn.train.plots import PALETTE, new_figure, save_figure

    makers = {
        "gradient descent": lambda p: optim.SGD(p, 0.095),
        "momentum": lambda p: optim.SGD(p, 0.02, momentum=0.8),
        "RMSprop": lambda p: optim.RMSprop(p, 0.35, alpha=0.9),
        "Adam": lambda p: optim.Adam(p, 0.6),
    }
    figure, axes = new_figure(8, 5.2, 2, 2)
    gx, gy = np.meshgrid(np.linspace(-10, 3, 200), np.linspace(-3.2, 3.2, 120))
    for i, (ax, (name, make)) in enumerate(zip(axes.flat, makers.items())):
        points = valley_path(make, 40)
        ax.contour(
            gx, gy, (gx**2 + 20 * gy**2) / 2, levels=[1, 4, 10, 20, 40, 70, 110], colors="#cccccc", linewidths=0.8
        )
        ax.plot(points[:, 0], points[:, 1], "o-", color=PALETTE[i], markersize=2.5, linewidth=1)
        ax.plot(0, 0, "*", color="#333333", markersize=10)
        ax.set_title(
            f"{name}: J = {(points[-1, 0] ** 2 + 20 * points[-1, 1] ** 2) / 2:.2g} after 40 steps",
            fontsize=10,
            color="#222222",
        )
    figure.suptitle("Forty steps through a narrow valley", fontsize=12, color="#222222")
    save_figure(figure, path)


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
