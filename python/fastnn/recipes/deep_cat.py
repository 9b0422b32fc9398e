"""deep-cat: is there a cat in the picture? The course's four-layer network, 12288-20-7-5-1, with ReLU.

Gradient descent on all images. 209 photographs are few, so what the course has against overfitting is used: every one
is brought to the same mean and deviation and shown mirrored and moved, ten times in all, three in ten units of the
first hidden layer drop out, and the first layer starts with small weights. Cats are a third of the training images; in
the cost each counts for as much as balances the two classes.

    fastnn train deep-cat --data-dir DATA
    fastnn predict deep-cat my_picture.png
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.datasets import CatNonCat
from fastnn.recipes import _common
from fastnn.recipes.logistic_cat import show_mistakes

NAME = "deep-cat"
DEFAULTS = dict(epochs=450, lr=0.015)
INPUT = (64, 64, 3)
CLASSES = ["not a cat", "cat"]
DROP = 0.3


def build_model():
    model = nn.Sequential(
        nn.Linear(12288, 20), nn.ReLU(), nn.Dropout(DROP),
        nn.Linear(20, 7), nn.ReLU(),
        nn.Linear(7, 5), nn.ReLU(),
        nn.Linear(5, 1),
    )  # fmt: skip
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    # 12,288 pixels and 209 images: what the images do not tell about the first weights stays as it started, as noise.
    with fastnn.no_grad():
        model[0].weight.mul_(0.1)
    return model


def prepare(images):
    """Colour images [N, 64, 64, 3] as a batch: each image with mean 0 and deviation 1/4, whatever the light was."""
    x = np.asarray(images, np.float32).reshape(len(images), 12288)
    return fastnn.tensor((x - x.mean(1, keepdims=True)) / (4 * x.std(1, keepdims=True) + 1e-6))


def augmented(x):
    """The images and their mirror images, each also moved by four pixels left, right, up and down: ten of each."""
    images = x.cpu().numpy().reshape(-1, 64, 64, 3)
    images = np.concatenate([images, images[:, :, ::-1]])
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="edge")
    return np.concatenate(
        [padded[:, dy : dy + 64, dx : dx + 64] for dy, dx in ((4, 4), (0, 4), (8, 4), (4, 0), (4, 8))]
    )


def main(args):
    out = _common.start(args)
    train, test = CatNonCat(train=True, data_dir=args.data_dir), CatNonCat(train=False, data_dir=args.data_dir)
    x, x_test = prepare(augmented(train.x)), prepare(test.x.cpu().numpy())
    labels = fastnn.cat([train.y] * 10)
    y = labels.to(fastnn.float32).reshape(-1, 1)

    model = build_model()
    print(model.summary((12288,)))
    optimizer = optim.SGD(model.parameters(), lr=args.lr)
    balance = (1 - y).sum() / y.sum()
    loss = nn.BCEWithLogitsLoss(pos_weight=balance.reshape(1))
    costs = []
    for epoch in range(1, args.epochs + 1):
        optimizer.zero_grad()
        cost = loss(model(x), y)
        cost.backward()
        optimizer.step()
        costs.append(cost.item())
        if not args.quiet and epoch % 50 == 0:
            print(f"  iteration {epoch:4d}   cost {costs[-1]:.4f}")
    _common.save(model, out, NAME)
    if not args.no_plots:
        from fastnn.train.plots import plot_curves

        plot_curves({"training cost, with dropout": costs}, out / "costs.png", xlabel="iteration", ylabel="cost J",
                    smooth=20, title="deep-cat: gradient descent")  # fmt: skip
        show_mistakes(model, test, out, NAME, x_test)
    return {"train_accuracy": _common.accuracy(model, x, labels),
            "test_accuracy": _common.accuracy(model, x_test, test.y), "cost": costs[-1]}  # fmt: skip


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
