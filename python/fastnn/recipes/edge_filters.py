"""edge-filters: the nine numbers of an edge filter, found from examples by gradient descent.

A picture and what the vertical, Sobel or Scharr filter makes of it are all that is given; a 3x3 convolution that starts
from zero learns the filter. Without data the picture is drawn here; with it, it is a photograph.

    fastnn train edge-filters --data-dir DATA
"""

import os
from pathlib import Path

import numpy as np

import fastnn
import fastnn.nn.functional as F
from fastnn import nn, optim
from fastnn.recipes import _common

NAME = "edge-filters"
DEFAULTS = dict(epochs=3000, lr=1.0)
FILTERS = {
    "vertical": [[1, 0, -1], [1, 0, -1], [1, 0, -1]],
    "horizontal": [[1, 1, 1], [0, 0, 0], [-1, -1, -1]],
    "Sobel": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
    "Scharr": [[3, 0, -3], [10, 0, -10], [3, 0, -3]],
    "45 degrees": [[2, 1, 0], [1, 0, -1], [0, -1, -2]],
}


def picture(folder):
    """A grey picture [H, W] from 0 to 1: a photograph where there is one, else discs, bars and some grain."""
    file = Path(folder or os.environ.get("FASTNN_DATA", "")) / "images" / "content_chelsea.png"
    if file.is_file():
        from fastnn.recipes._predict import read_image

        return read_image(file, (150, 225, 3)).mean(-1)
    rows, columns = np.mgrid[0:150, 0:225]
    image = 0.2 + 0.6 * (np.hypot(rows - 70, columns - 80) < 45) + 0.4 * (abs(columns - 170 + rows / 4) < 12)
    return np.clip(image + 0.1 * np.random.default_rng(0).normal(size=image.shape), 0, 1)


def learn(x, target, epochs, lr):
    """The filter [3, 3] that makes ``target`` of ``x``, and the losses on the way to it."""
    layer = nn.Conv2d(1, 1, 3, bias=False)
    nn.init.zeros_(layer.weight)
    optimizer = optim.Adam(layer.parameters(), lr=lr)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)

    @fastnn.capture
    def step(x, target):
        optimizer.zero_grad()
        loss = F.mse_loss(layer(x), target)
        loss.backward()
        optimizer.step()
        return loss

    losses = []
    for _ in range(epochs):
        losses.append(step(x, target).item())
        schedule.step()
    return layer.weight.detach().cpu().numpy()[:, :, 0, 0].copy(), losses


def main(args):
    out = _common.start(args)
    image = picture(args.data_dir).astype(np.float32)
    x = fastnn.tensor((image - image.mean())[None, :, :, None])  # the mean says nothing about edges
    learnt, curves, results = {}, {}, {}
    for name, numbers in FILTERS.items():
        weight = fastnn.tensor(np.array(numbers, np.float32)[:, :, None, None])
        learnt[name], curves[name] = learn(x, F.conv2d(x, weight), args.epochs, args.lr)
        results[f"error_{name.replace(' ', '_')}"] = float(np.abs(learnt[name] - numbers).max())
        print(f"{name}:\n{np.array2string(learnt[name], precision=3, suppress_small=True)}")
    if not args.no_plots:
        draw(x, learnt, curves, out)
    return results


def draw(x, learnt, curves, out):
    """Each filter as it was given and learnt, what it sees, and the losses."""
    from fastnn.train.plots import new_figure, plot_curves, save_figure

    figure, axes = new_figure(9, 2.1 * len(FILTERS), len(FILTERS), 3)
    for row, (name, numbers) in zip(axes, FILTERS.items()):
        given, limit = np.array(numbers, float), np.abs(numbers).max()
        edges = F.conv2d(x, fastnn.tensor(learnt[name][:, :, None, None])).cpu().numpy()[0, :, :, 0]
        for ax, values, title in ((row[0], given, f"{name}: given"), (row[1], learnt[name], "learnt")):
            ax.imshow(values, cmap="gray", vmin=-limit, vmax=limit)
            for i in range(3):
                for j in range(3):
                    ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=8,
                            color="black" if values[i, j] > 0 else "white")  # fmt: skip
            ax.set_title(title, fontsize=9)
        bound = np.percentile(np.abs(edges), 99)
        row[2].imshow(edges, cmap="gray", vmin=-bound, vmax=bound)
        row[2].set_title("what it sees", fontsize=9)
        for ax in row:
            ax.axis("off")
    save_figure(figure, out / "filters.png")
    plot_curves(curves, out / "losses.png", ylabel="mean squared error", title="edge-filters: learning nine numbers")


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
