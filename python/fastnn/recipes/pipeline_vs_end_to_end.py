"""pipeline-vs-end-to-end: find the digit, then read it; or read the whole scene at once?

A scene is a photograph with a small digit somewhere. The pipeline is two networks: one finds the digit, and learns from
scenes of which only the place is known; one reads a digit that was cut out, and learns from digits that are plentiful.
The end-to-end network gets whole scenes and what they say, of which there may be few. As in the course's turnstile
(find the face, then compare it), the pipeline wins while such pairs are few; with many, one network catches up.

    fastnn train pipeline-vs-end-to-end --data-dir DATA     (MNIST, and CIFAR-10 for the photographs)
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.datasets import CIFAR10, MNIST
from fastnn.metrics import wilson_interval
from fastnn.models import he_init
from fastnn.optim.lr_scheduler import CosineAnnealingLR
from fastnn.recipes import _common
from fastnn.train import Trainer

NAME = "pipeline-vs-end-to-end"
DEFAULTS = dict(epochs=8, batch_size=100, lr=2e-3)
PAIRS, PARTS, TEST = (300, 1000, 3000, 10_000, 30_000), 10_000, 2000  # scenes read; scenes and digits of the pipeline
SCENE, DIGIT = 32, 14


def scenes(args, n, train, seed):
    """``(images [n, 32, 32, 1], places [n, 2], digits [n])``: a halved digit, painted on a darkened photograph."""
    rng = np.random.default_rng([args.seed, seed])
    digits, photos = MNIST(train=train, data_dir=args.data_dir), CIFAR10(train=train, data_dir=args.data_dir)
    rows = rng.integers(len(digits), size=n)
    small = digits.x.cpu().numpy()[rows].reshape(n, DIGIT, 2, DIGIT, 2).mean(axis=(2, 4))
    images = 0.7 * photos.x.cpu().numpy()[rng.integers(len(photos), size=n)].mean(axis=3)
    places = rng.integers(SCENE - DIGIT + 1, size=(n, 2))
    for image, digit, (i, j) in zip(images, small, places):
        image[i : i + DIGIT, j : j + DIGIT] *= 1 - digit
        image[i : i + DIGIT, j : j + DIGIT] += digit
    return images[..., None].astype(np.float32), places, digits.y.cpu().numpy()[rows]


def cut_out(images, places):
    """The pieces of 14x14 at the places."""
    places = np.clip(np.rint(places), 0, SCENE - DIGIT).astype(int)
    return np.stack([image[i : i + DIGIT, j : j + DIGIT] for image, (i, j) in zip(images, places)])


def network(side, outputs, width):
    """Convolutions and pooling down to about 4x4, then two dense layers."""
    layers, channels = [], 1
    while side > 4:
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        channels, width, side = width, 2 * width, side // 2
    layers += [nn.Flatten(), nn.Linear(side * side * channels, 128), nn.ReLU(), nn.Linear(128, outputs)]
    return he_init(nn.Sequential(*layers))


def fit(args, x, y, loss, outputs):
    """A network trained on ``(x, y)``: as many updates for few examples as for 10,000."""
    fastnn.manual_seed(args.seed)
    model = network(x.shape[1], outputs, 12)
    optimizer = optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.02)
    loader = DataLoader(TensorDataset(x, y), min(args.batch_size, len(x)), shuffle=True)
    epochs = max(args.epochs, args.epochs * 10_000 // max(len(x), 1000))
    trainer = Trainer(model, loss, optimizer, progress=False, scheduler=CosineAnnealingLR(optimizer, epochs))
    trainer.fit(loader, epochs=epochs)
    return trainer


def answer(trainer, x):
    return trainer.predict(DataLoader(TensorDataset(x), 500))


def main(args):
    out = _common.start(args)
    x_test, place_test, y_test = scenes(args, TEST, False, 0)

    x, place, _ = scenes(args, PARTS, True, 1)  # nobody read these: the places alone are known
    finder = fit(args, x, (place / (SCENE - DIGIT)).astype(np.float32), nn.MSELoss(), 2)
    found = answer(finder, x_test) * (SCENE - DIGIT)
    x, place, y = scenes(args, PARTS, True, 2)  # digits cut out, not quite in the middle
    shaken = place + np.random.default_rng(args.seed).normal(0, 1, place.shape)
    reader = fit(args, cut_out(x, shaken), y, nn.CrossEntropyLoss(), 10)
    read = answer(reader, cut_out(x_test, found)).argmax(1)
    ideal = answer(reader, cut_out(x_test, place_test)).argmax(1)
    results = {
        "pipeline_accuracy": float((read == y_test).mean()),
        "reader_alone_accuracy": float((ideal == y_test).mean()),
        "finder_error_pixels": float(abs(found - place_test).mean()),
    }
    pipeline, alone, off = results.values()
    print(f"pipeline: {pipeline:.1%} right; {alone:.1%} if the place were known exactly; {off:.2f} pixels off")
    x, _, y = scenes(args, max(PAIRS), True, 3)
    for n in PAIRS:
        whole = fit(args, x[:n], y[:n], nn.CrossEntropyLoss(), 10)
        results[f"end_to_end_{n}_accuracy"] = float((answer(whole, x_test).argmax(1) == y_test).mean())
        print(f"end to end, {n} scenes: {results[f'end_to_end_{n}_accuracy']:.1%} right")
    if not args.no_plots:
        draw(results, x_test, found, read, y_test, out)
    return results


def draw(results, x, found, read, y, out):
    """Accuracy against the number of scenes that were read, and what the pipeline sees."""
    from fastnn.train.plots import PALETTE, new_figure, plot_images, save_figure

    figure, axes = new_figure(6.4, 4)
    ax = axes[0, 0]
    rates = [wilson_interval(round(results[f"end_to_end_{n}_accuracy"] * TEST), TEST) for n in PAIRS]
    errors = [[r.value - r.low for r in rates], [r.high - r.value for r in rates]]
    ax.errorbar(PAIRS, [r.value for r in rates], errors, color=PALETTE[0], marker="o", capsize=2, label="end to end")
    ax.axhline(results["pipeline_accuracy"], color=PALETTE[1], linewidth=1.8, label="pipeline: find, then read")
    ax.axhline(results["reader_alone_accuracy"], color=PALETTE[1], linewidth=1, linestyle=":",
               label="reading alone, the place known")  # fmt: skip
    ax.set_xscale("log")
    ax.set_xticks(PAIRS, [f"{n:,}" for n in PAIRS])
    ax.minorticks_off()
    ax.set_ylim(0, 1)
    ax.grid(True, color="#e6e6e6", linewidth=0.8)
    ax.set_xlabel("scenes with what they say (pairs for end-to-end)", fontsize=9, color="#444444")
    ax.set_ylabel("test accuracy", fontsize=9, color="#444444")
    ax.legend(frameon=False, fontsize=9, loc="lower right")
    save_figure(figure, out / "accuracy.png")
    cuts = np.zeros((16, SCENE, SCENE), np.float32)
    cuts[:, 9 : 9 + DIGIT, 9 : 9 + DIGIT] = cut_out(x[:16], found[:16])[..., 0]
    captions = [*(f"is {d}" for d in y[:16]), *(f"read {d}" for d in read[:16])]
    plot_images(np.concatenate([x[:16, ..., 0], cuts]), out / "scenes.png", captions, 16,
                "Scenes, and what the first network cut out for the second")  # fmt: skip


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
