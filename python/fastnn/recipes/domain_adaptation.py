"""domain-adaptation: a reader of plain digits learns to read digits on photographs, whose labels it never sees.

Source: MNIST. Target: other MNIST digits painted onto photographs. The network has two heads: one reads the digit,
known for the source alone; the other tells source from target, behind a gradient reversal, so the features learn to
hide where a picture comes from (Ganin and Lempitsky 2015). It is compared with the same network without the second
head, and with one that was given the target's labels: the most there is to win.

    fastnn train domain-adaptation --data-dir DATA     (MNIST, and CIFAR-10 for the photographs)
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset, Whitener, on_backgrounds, random_crops
from fastnn.datasets import CIFAR10, MNIST
from fastnn.metrics import OfTask
from fastnn.models import he_init
from fastnn.recipes import _common
from fastnn.train import LambdaCallback, Trainer

NAME = "domain-adaptation"
DEFAULTS = dict(epochs=14, batch_size=128, lr=2e-3)
IMAGES, TEST = 6_000, 2_000  # of each domain
UNKNOWN = -1


def domains(args):
    """``(x, y)`` of source and target, for training and for testing; the photographs are different ones."""
    parts = []
    for train, n in ((True, IMAGES), (False, TEST)):
        digits, photos = MNIST(train=train, data_dir=args.data_dir), CIFAR10(train=train, data_dir=args.data_dir)
        x, y = digits.x.cpu().numpy().reshape(-1, 28, 28), digits.y.cpu().numpy()
        plain = np.repeat(x[:n, ..., None], 3, axis=3)
        other = on_backgrounds(x[n : 2 * n], 0.8 * random_crops(photos.x, n, 28, args.seed), "paint")
        parts += [(plain, y[:n]), (other, y[n : 2 * n])]
    return parts


def network(adversary):
    trunk = nn.Sequential(
        nn.Conv2d(3, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    )  # fmt: skip
    heads = {"digit": nn.Sequential(nn.Linear(512, 100), nn.ReLU(), nn.Linear(100, 10))}
    if adversary:
        heads["domain"] = nn.Sequential(nn.GradientReversal(0), nn.Linear(512, 100), nn.ReLU(), nn.Linear(100, 1))
    return he_init(nn.MultiTask(trunk, heads))


def fit(args, x, labels, adversary, test):
    """A trained network; labels [N, 1 or 2] are the digit and, for the adversary, the domain."""
    fastnn.manual_seed(args.seed)
    model = network(adversary)
    tasks = {"digit": "cross_entropy", "domain": "binary"} if adversary else {"digit": "cross_entropy"}

    def raise_scale(trainer):
        if adversary:
            layer = model.heads["domain"][0]
            layer.scale = layer.schedule((trainer.epoch + 0.5) / args.epochs)

    optimizer = optim.Adam(model.parameters(), lr=args.lr)
    loss = nn.MultiTaskLoss(tasks, weights={"domain": 0.5} if adversary else None)
    trainer = Trainer(model, loss, optimizer, progress=not args.quiet,
                      metrics=[OfTask(task, i) for i, task in enumerate(tasks)],
                      callbacks=[LambdaCallback(on_epoch_begin=raise_scale)])  # fmt: skip
    labels_of_test = np.stack([test[1], np.ones_like(test[1])], axis=1)[:, : len(tasks)]
    trainer.fit(DataLoader(TensorDataset(x, labels), args.batch_size, shuffle=True),
                DataLoader(TensorDataset(test[0], labels_of_test), 500), epochs=args.epochs)  # fmt: skip
    model.eval()
    return model, trainer.history


def read(model, x):
    """Digits, and the features they are read from."""
    with fastnn.no_grad():
        features = np.concatenate([model.trunk(fastnn.tensor(part)).cpu().numpy() for part in np.array_split(x, 10)])
        return model.heads["digit"](fastnn.tensor(features)).cpu().numpy().argmax(1), features


def main(args):
    out = _common.start(args)
    source, target, source_test, target_test = domains(args)
    both = np.concatenate([source[0], target[0]])
    labels = np.stack([np.r_[source[1], np.full(len(target[1]), UNKNOWN)],
                       np.repeat([0, 1], [len(source[1]), len(target[1])])], axis=1)  # fmt: skip
    runs = {
        "source only": (source[0], source[1][:, None], False),
        "adversary": (both, labels, True),
        "target labels": (target[0], target[1][:, None], False),
    }
    results, histories, features = {}, {}, {}
    for name, (x, y, adversary) in runs.items():
        model, histories[name] = fit(args, x, y, adversary, target_test)
        right = {}
        for domain, (images, digits) in (("source", source_test), ("target", target_test)):
            predicted, features[name, domain] = read(model, images)
            right[domain] = float((predicted == digits).mean())
            results[f"{name} on {domain}".replace(" ", "_") + "_accuracy"] = right[domain]
        print(f"{name}: {right['source']:.1%} of the source, {right['target']:.1%} of the target read right")
    if not args.no_plots:
        draw(histories, features, source_test, target_test, out)
    return results


def draw(histories, features, source, target, out):
    """The two domains, the accuracies by epoch, and the features of both domains in two principal directions."""
    from fastnn.train.plots import PALETTE, new_figure, plot_curves, plot_images, save_figure

    plot_images(np.concatenate([source[0][:16], target[0][:16]]), out / "domains.png", title="Source and target")
    curves = {name: [np.nan, *h["val_digit_accuracy"]] for name, h in histories.items()}
    plot_curves(curves, out / "target-accuracy.png", xlabel="epoch", ylabel="accuracy on the target",
                title="domain-adaptation: digits on photographs")  # fmt: skip
    names = [n for n in histories if n != "target labels"]
    figure, axes = new_figure(5 * len(names), 4.4, 1, len(names))
    for ax, name in zip(axes.flat, names):
        parts = [features[name, domain][:500] for domain in ("source", "target")]
        z = Whitener("pca", components=2).fit_transform(np.concatenate(parts))
        for i, domain in enumerate(("source", "target")):
            ax.scatter(*z[500 * i : 500 * (i + 1)].T, s=7, color=PALETTE[i], alpha=0.6, label=domain, linewidths=0)
        ax.set_title(f"features, {name}", fontsize=11, color="#222222")
        ax.set_xticks([]), ax.set_yticks([])
        ax.legend(frameon=False, fontsize=9)
    save_figure(figure, out / "features.png")


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
