"""logistic-cat: is there a cat in the picture? Logistic regression, the course's first program.

One neuron looks at all 12,288 numbers of a 64x64 colour photograph: y = sigmoid(w.x + b). 2,000 steps of gradient
descent on all 209 training images, from w = 0. It learns the training set almost by heart and is right on about 70 %
of the test images: one neuron is not enough, see deep-cat.

    fastnn train logistic-cat --data-dir DATA
    fastnn predict logistic-cat my_picture.png
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.datasets import CatNonCat
from fastnn.recipes import _common

NAME = "logistic-cat"
DEFAULTS = dict(epochs=2000, lr=0.005)
INPUT = (64, 64, 3)
CLASSES = ["not a cat", "cat"]


def build_model():
    model = nn.Sequential(nn.Linear(64 * 64 * 3, 1))
    nn.init.zeros_(model[0].weight)  # the cost is convex: any start will do
    nn.init.zeros_(model[0].bias)
    return model


def prepare(images):
    """Colour images [N, 64, 64, 3] with values 0 to 1 as a batch."""
    return fastnn.tensor(np.asarray(images, np.float32).reshape(len(images), 12288))


def main(args):
    out = _common.start(args)
    train, test = CatNonCat(train=True, data_dir=args.data_dir), CatNonCat(train=False, data_dir=args.data_dir)
    y = train.y.to(fastnn.float32).reshape(-1, 1)

    model = build_model()
    print(model.summary((12288,)))
    costs = _common.descend(model, train.x, y, args.epochs, optim.SGD(model.parameters(), lr=args.lr))
    _common.save(model, out, NAME)

    if not args.no_plots:
        # How fast it learns depends on the learning rate: too small crawls, too large bounces.
        rates = (2 * args.lr, args.lr, 0.2 * args.lr)
        curves = {f"learning rate {lr:g}": costs for lr in rates}
        for lr in (rates[0], rates[2]):
            other = build_model()
            optimizer = optim.SGD(other.parameters(), lr=lr)
            curves[f"learning rate {lr:g}"] = _common.descend(other, train.x, y, args.epochs, optimizer)
        draw(model, test, curves, out)
    return {"train_accuracy": _common.accuracy(model, train.x, train.y),
            "test_accuracy": _common.accuracy(model, test.x, test.y), "cost": costs[-1]}  # fmt: skip


def draw(model, test, curves, out):
    from fastnn.train.plots import new_figure, plot_curves, save_figure

    plot_curves(curves, out / "costs.png", xlabel="iteration", ylabel="cost J",
                title="logistic-cat: cost and learning rate")  # fmt: skip
    weight = model[0].weight.detach().cpu().numpy().reshape(64, 64, 3)
    figure, axes = new_figure(4, 4.4)
    axes[0, 0].imshow(np.clip(0.5 + weight / (6 * weight.std()), 0, 1))
    axes[0, 0].axis("off")
    axes[0, 0].set_title("The weights as a picture:\nwhere light of which colour speaks for a cat", fontsize=10)
    save_figure(figure, out / "weights.png")
    show_mistakes(model, test, out, NAME, test.x)


def show_mistakes(model, test, out, name, x):
    """The test images with the probability the model gives; wrong ones first."""
    from fastnn.train.plots import plot_images

    p = _common.probability(model)(x.cpu().numpy())
    truth = test.y.cpu().numpy()
    wrong = (p > 0.5) != truth
    order = np.concatenate([np.flatnonzero(wrong), np.flatnonzero(~wrong)])[:24]
    labels = [f"{p[i]:.0%} cat" + (" (wrong)" if wrong[i] else "") for i in order]
    plot_images(
        test.x.cpu().numpy()[order].reshape(-1, 64, 64, 3),
        out / "predictions.png",
        labels,
        title=f"{name}: {1 - wrong.mean():.0%} of the test images are right. The mistakes come first.",
    )


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
