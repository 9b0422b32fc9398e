"""multi-task: one network answers ten questions about a picture, against ten networks with one question each.

Is it a coat? Is it a bag? Somebody answered one of the ten questions for each picture; the other nine labels are not
known and cost nothing. As in the course's street scenes (pedestrian, car, stop sign, traffic light) the ten heads share
a trunk, which learns from all pictures, while a network of its own sees a tenth of them. The experiment asks when
sharing helps: with few and with many pictures, with a wide and with a tiny network.

    fastnn train multi-task --data-dir DATA
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.datasets import FashionMNIST
from fastnn.metrics import average_precision
from fastnn.models import he_init
from fastnn.optim.lr_scheduler import CosineAnnealingLR
from fastnn.recipes import _common
from fastnn.train import Trainer

NAME = "multi-task"
DEFAULTS = dict(epochs=30, batch_size=50, lr=3e-3)
TASKS = FashionMNIST.classes
PICTURES, WIDTHS, TEST = (300, 1000, 3000), {"wide": 16, "tiny": 2}, 2000


def questions(data, n, seed, answered=None):
    """``(images [n, 28, 28, 1], answers [n, 10])``: yes or no to every question, NaN to those nobody `answered`."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(data))[:n]
    answers = (data.y.cpu().numpy()[rows, None] == np.arange(len(TASKS))).astype(np.float32)
    if answered:
        asked = rng.permuted(np.tile(np.arange(len(TASKS)) < answered, (n, 1)), axis=1)
        answers[~asked] = np.nan
    return data.x.cpu().numpy()[rows], answers


def network(tasks, width):
    """A trunk of two convolutions and a head per task."""
    trunk = nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(98 * width, 4 * width), nn.ReLU(),
    )  # fmt: skip
    return he_init(nn.MultiTask(trunk, {task: nn.Linear(4 * width, 1) for task in tasks}))


def fit(args, tasks, width, x, y):
    """A network trained on the tasks; pictures without a label for any of them are left out."""
    fastnn.manual_seed(args.seed)
    rows = ~np.isnan(y).all(axis=1)
    model = network(tasks, width)
    optimizer = optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.02)
    loader = DataLoader(TensorDataset(x[rows], y[rows]), min(args.batch_size, rows.sum()), shuffle=True, drop_last=True)
    epochs = max(20 * args.epochs // len(loader), 1)  # as many updates for every network
    trainer = Trainer(model, nn.MultiTaskLoss(dict.fromkeys(tasks, "binary")), optimizer, progress=False,
                      scheduler=CosineAnnealingLR(optimizer, epochs))  # fmt: skip
    trainer.fit(loader, epochs=epochs)
    model.eval()
    return model


def scores(model, x):
    with fastnn.no_grad():
        outputs = [model(fastnn.tensor(part)) for part in np.array_split(x, max(len(x) // 500, 1))]
    return {task: np.concatenate([o[task].cpu().numpy()[:, 0] for o in outputs]) for task in outputs[0]}


def main(args):
    out = _common.start(args)
    train, test = (FashionMNIST(train=part, data_dir=args.data_dir, flatten=False) for part in (True, False))
    x_test, y_test = questions(test, TEST, 1)
    table, results = {}, {}
    for kind, width in WIDTHS.items():
        for n in PICTURES:
            x, y = questions(train, n, 0, answered=1)
            apart = {}
            for i, task in enumerate(TASKS):
                apart |= scores(fit(args, [task], width, x, y[:, i : i + 1]), x_test)
            shared = scores(fit(args, TASKS, width, x, y), x_test)
            for how, s in (("apart", apart), ("together", shared)):
                table[kind, how, n] = [average_precision(s[t], y_test[:, i]) for i, t in enumerate(TASKS)]
            pair = [float(np.mean(table[kind, how, n])) for how in ("apart", "together")]
            print(f"{kind} network, {n} pictures: average precision {pair[0]:.3f} apart, {pair[1]:.3f} together")
            results[f"{kind}_{n}_apart"], results[f"{kind}_{n}_together"] = pair
    if not args.no_plots:
        draw(table, x, y, out)
    return results


def draw(table, x, y, out):
    """The two curves for each width, and what is known of the pictures."""
    from fastnn.train.plots import PALETTE, new_figure, plot_images, save_figure

    figure, axes = new_figure(5 * len(WIDTHS), 3.8, 1, len(WIDTHS))
    for ax, kind in zip(axes.flat, WIDTHS):
        for how, color in (("together", PALETTE[0]), ("apart", PALETTE[1])):
            values = np.array([table[kind, how, n] for n in PICTURES])
            ax.plot(PICTURES, values.mean(axis=1), color=color, marker="o", linewidth=2, label=f"ten tasks {how}")
            ax.plot(PICTURES, values, color=color, linewidth=0.6, alpha=0.4)
        ax.set_xscale("log")
        ax.set_xticks(PICTURES, [f"{n:,}" for n in PICTURES])
        ax.minorticks_off()
        ax.set_ylim(0, 1)
        ax.grid(True, color="#e6e6e6", linewidth=0.8)
        ax.set_title(f"{kind} network ({WIDTHS[kind]} filters)", fontsize=11, color="#222222")
        ax.set_xlabel("pictures, one label each", fontsize=9, color="#444444")
        ax.set_ylabel("average precision", fontsize=9, color="#444444")
        ax.legend(frameon=False, fontsize=9, loc="upper left")
    save_figure(figure, out / "when-it-helps.png")
    captions = [f"{TASKS[np.nanargmax(row >= 0)]}?\n{'yes' if np.nanmax(row) else 'no'}" for row in y[:24]]
    plot_images(x[:24], out / "questions.png", captions, title="One question answered for each picture")


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
