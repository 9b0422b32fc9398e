"""optimizer-paths: how gradient descent, momentum, RMSprop and Adam walk, drawn on the contours of the cost.

An elongated bowl, where gradient descent zigzags; the same bowl made round, as standardised inputs do it; a saddle,
where the gradient is nearly 0 and adaptive steps leave first; and a plateau in front of a valley.

    fastnn train optimizer-paths
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.recipes import _common

NAME = "optimizer-paths"
DEFAULTS = dict()
STEPS = 60


def bowl(x, y):
    return 0.5 * (x * x + 25 * y * y)


def round_bowl(x, y):
    return 0.5 * (x * x + y * y)


def saddle(x, y):
    return 0.5 * (x * x - y * y) + 0.25 * y * y * y * y  # minima at y = -1 and 1, the saddle in the middle


def plateau(x, y):
    return 1 - 1 / (1 + 0.1 * x * x + y * y)


# name -> (cost, start, (x from, x to, y from, y to), learning rate of each optimiser)
LANDSCAPES = {
    "elongated bowl": (bowl, (-9.0, 2.0), (-10, 3, -3, 3), dict(gd=0.07, momentum=0.02, rmsprop=0.3, adam=0.5)),
    "round bowl": (round_bowl, (-9.0, 2.0), (-10, 3, -3, 3), dict(gd=0.3, momentum=0.05, rmsprop=0.3, adam=0.5)),
    "saddle": (saddle, (-1.5, 1e-3), (-2, 2, -2, 2), dict(gd=0.1, momentum=0.03, rmsprop=0.05, adam=0.1)),
    "plateau": (plateau, (-8.0, 2.5), (-10, 4, -4, 4), dict(gd=0.5, momentum=0.3, rmsprop=0.3, adam=0.4)),
}
OPTIMIZERS = {
    "gd": ("gradient descent", lambda p, lr: optim.SGD(p, lr)),
    "momentum": ("momentum 0.9", lambda p, lr: optim.SGD(p, lr, momentum=0.9)),
    "rmsprop": ("RMSprop", lambda p, lr: optim.RMSprop(p, lr, alpha=0.9)),
    "adam": ("Adam", lambda p, lr: optim.Adam(p, lr)),
}


def walk(cost, start, make, lr, steps=STEPS):
    """The points [steps + 1, 2] that an optimiser visits."""
    x, y = (nn.Parameter(fastnn.tensor(v)) for v in start)
    optimizer = make([x, y], lr)
    points = [(x.item(), y.item())]
    for _ in range(steps):
        optimizer.zero_grad()
        cost(x, y).backward()
        optimizer.step()
        points.append((x.item(), y.item()))
    return np.array(points)


def main(args):
    out = _common.start(args)
    results, paths = {}, {}
    for name, (cost, start, _, rates) in LANDSCAPES.items():
        for key, (label, make) in OPTIMIZERS.items():
            points = paths[name, key] = walk(cost, start, make, rates[key])
            final = float(cost(*points[-1]))
            results[f"{name.replace(' ', '_')}_{key}"] = final
            print(f"  {name:<16} {label:<18} lr {rates[key]:<6g} J = {final:.3g} after {STEPS} steps")
    if not args.no_plots:
        draw(paths, out / "paths.png")
    return results


def draw(paths, path):
    from fastnn.train.plots import PALETTE, new_figure, save_figure

    figure, axes = new_figure(11, 8, 2, 2)
    for ax, (name, (cost, start, (left, right, low, high), _)) in zip(axes.flat, LANDSCAPES.items()):
        gx, gy = np.meshgrid(np.linspace(left, right, 200), np.linspace(low, high, 160))
        heights = cost(gx, gy)
        levels = np.quantile(heights, np.linspace(0.02, 0.98, 14))
        ax.contour(gx, gy, heights, levels=np.unique(levels), colors="#cccccc", linewidths=0.8)
        for i, (key, (label, _)) in enumerate(OPTIMIZERS.items()):
            points = paths[name, key]
            label = f"{label}: {cost(*points[-1]):.2g}"
            ax.plot(points[:, 0], points[:, 1], "o-", color=PALETTE[i], markersize=2.2, linewidth=1.1, label=label)
        ax.plot(*start, "s", color="#333333", markersize=5)
        ax.set_xlim(left, right)
        ax.set_ylim(low, high)
        ax.set_title(f"{name}: J after {STEPS} steps", fontsize=10)
        ax.legend(fontsize=7.5, frameon=True, framealpha=0.9, edgecolor="none")
    save_figure(figure, path)


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
