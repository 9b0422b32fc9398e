"""diagnose-demo: one network with each of the four diseases, diagnosed by its errors, and cured by the named remedy.

The same network for handwritten digits is made too small (avoidable bias), given too few images (variance), asked about
digits on photographs that it never saw (data mismatch), and tuned on a handful of dev images (overfitting to the dev
set). Each time the chain human - training - train-dev - dev - test says what is wrong; then the first remedy of the
course's list for it is applied, and the chain is measured again.

    fastnn train diagnose-demo --data-dir DATA     (MNIST, and CIFAR-10 for the photographs)
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset, on_backgrounds, random_crops, split_indices
from fastnn.datasets import CIFAR10, MNIST
from fastnn.recipes import _common
from fastnn.strategy import EpochCurve, diagnose_trainer, learning_curve
from fastnn.train import Trainer

NAME = "diagnose-demo"
DEFAULTS = dict(epochs=8, batch_size=128, lr=1.5e-3)
HUMAN = 0.002  # people misread about two MNIST digits in a thousand (LeCun et al. 1995)
MANY, FEW, SEARCH = 50_000, 400, 4000  # training images, too few of them, trials of a tuning on the dev set


def network(width):
    return nn.Sequential(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10))


def fit(args, width, train, dev=None, epochs=None):
    """A network trained on ``(x, y)``, as its trainer."""
    fastnn.manual_seed(args.seed)
    model = network(width)
    optimizer = optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], progress=not args.quiet)
    trainer.fit(loader(train, min(args.batch_size, len(train[1])), shuffle=True), dev and loader(dev),
                epochs=epochs or args.epochs)  # fmt: skip
    return trainer


def loader(part, size=1000, shuffle=False):
    return DataLoader(TensorDataset(*part), size, shuffle=shuffle)


def check(trainer, **parts):
    return diagnose_trainer(trainer, human=HUMAN, **{name: loader(part) for name, part in parts.items()})


class Digits:
    """MNIST in parts, plain or on photographs; the photographs of training, dev and test are different ones."""

    def __init__(self, args):
        train, test = (MNIST(train=part, data_dir=args.data_dir) for part in (True, False))
        photos = [CIFAR10(train=part, data_dir=args.data_dir).x.cpu().numpy().mean(axis=3) for part in (True, False)]
        aside = 5000
        order = split_indices(len(train), [MANY, aside, len(train) - MANY - aside], args.seed, stratify=train.y)
        halves = split_indices(len(test), [0.5, 0.5], args.seed, stratify=test.y)
        cut = len(photos[1]) // 2
        self.parts = {
            "train": (train, order[0], photos[0][:5000]), "train_dev": (train, order[1], photos[0][5000:]),
            "dev": (test, halves[0], photos[1][:cut]), "test": (test, halves[1], photos[1][cut:]),
        }  # fmt: skip

    def __call__(self, part, n=None, photos=False):
        data, rows, pictures = self.parts[part]
        rows = rows[:n]
        x, y = data.x.cpu().numpy()[rows], data.y.cpu().numpy()[rows]
        if photos:
            crops = random_crops(pictures[..., None], len(x), 28, seed=1)
            x = on_backgrounds(x.reshape(-1, 28, 28), 0.5 * crops, "paint").reshape(len(x), 784)
        return x, y


def tuned_on_dev(trainer, dev, plain, seed):
    """The chain after random changes of the last layer, kept whenever the dev error does not rise.

    That is what endless tuning on one dev set amounts to. The layer gets its own weights back.
    """
    last = trainer.model[-1]
    own = {name: value.cpu().numpy().copy() for name, value in last.state_dict().items()}
    with fastnn.no_grad():
        features = trainer.model[:-1](fastnn.tensor(dev[0])).cpu().numpy()
    weight, bias = (p.detach().cpu().numpy().copy() for p in (last.weight, last.bias))
    rng = np.random.default_rng(seed)
    errors = ((features @ weight + bias).argmax(1) != dev[1]).sum()
    for _ in range(SEARCH):
        step = weight + 0.003 * rng.standard_normal(weight.shape).astype(np.float32)
        new = ((features @ step + bias).argmax(1) != dev[1]).sum()
        if new <= errors:
            weight, errors = step, new
    last.load_state_dict({"weight": weight, "bias": bias})
    chain = check(trainer, **{**plain, "dev": dev})
    last.load_state_dict(own)
    return chain


def main(args):
    out = _common.start(args)
    digits = Digits(args)
    plain = {part: digits(part) for part in ("train", "train_dev", "dev", "test")}
    few = digits("train", FEW)
    small = fit(args, 3, plain["train"], epochs=2)
    large = fit(args, 256, plain["train"])
    starved = fit(args, 256, few, plain["dev"], epochs=4 * args.epochs)
    street = {part: digits(part, photos=True) for part in ("dev", "test")}
    mixed = {part: digits(part, photos=True) for part in ("train", "train_dev")}
    mended = fit(args, 256, mixed["train"])
    sick, cured = {}, {}
    sick["avoidable bias"], cured["avoidable bias"] = check(small, **plain), check(large, **plain)
    sick["variance"], cured["variance"] = check(starved, **{**plain, "train": few}), cured["avoidable bias"]
    sick["data mismatch"] = check(large, **{**plain, **street})
    cured["data mismatch"] = check(mended, **{**mixed, **street})
    handful, big = digits("dev", 60), digits("dev")
    sick["overfitting to the dev set"], cured["overfitting to the dev set"] = (
        tuned_on_dev(large, dev, plain, args.seed) for dev in (handful, big)
    )
    results = {"diagnosed_right": 0, "cured": 0}
    for disease in sick:
        print(f"\n=== {disease} ===\n{sick[disease]}\n--- after the remedy: {REMEDY[disease]} ---\n{cured[disease]}")
        before, after = sick[disease].gap(disease), cured[disease].gap(disease)
        results["diagnosed_right"] += sick[disease].largest == disease
        results["cured"] += after < before / 2
        key = disease.replace(" ", "_")
        results[f"{key}_before"], results[f"{key}_after"] = f"{before:.2%}", f"{after:.2%}"
    if not args.no_plots:
        draw(args, sick, cured, starved, plain, street, out)
    return results


REMEDY = {
    "avoidable bias": "a bigger model, trained longer",
    "variance": "more training data",
    "data mismatch": "digits laid onto other photographs",
    "overfitting to the dev set": "a bigger dev set",
}


def draw(args, sick, cured, starved, plain, street, out):
    """All eight chains, what the dev sets look like, and both kinds of learning curves of the starved network."""
    from fastnn.train.plots import new_figure, plot_images, save_figure

    figure, axes = new_figure(23, 8, 2, len(sick))
    for column, disease in zip(axes.T, sick):
        sick[disease].draw(column[0], f"{disease}: diagnosed as {sick[disease].largest}")
        cured[disease].draw(column[1], f"after: {REMEDY[disease]}", max(sick[disease].errors.values()))
    save_figure(figure, out / "diagnoses.png")
    pictures = np.concatenate([plain["dev"][0][:16], street["dev"][0][:16]]).reshape(-1, 28, 28)
    plot_images(pictures, out / "mismatch.png", title="What it was trained on, and what it is asked")
    EpochCurve(starved.history, human=HUMAN).plot(out / "epochs.png")

    def run(rows):
        part = tuple(a[rows] for a in plain["train"])
        trainer = fit(args, 256, part, epochs=max(args.epochs, 20 * args.epochs * 100 // len(rows)))
        return tuple(1 - trainer.evaluate(loader(p))["accuracy"] for p in (part, plain["dev"]))

    sizes = [n for n in (100, 400, 1600, 6400) if n <= MANY]
    curve = learning_curve(run, MANY, sizes, stratify=plain["train"][1])
    print(f"\n=== learning curve ===\n{curve.report(HUMAN)}")
    curve.plot(out / "sizes.png", HUMAN)


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
