"""digits: a network with two hidden layers reads handwritten digits.

Data: the 1,797 digits of scikit-learn, 8x8 pixels; 80 % to train, 20 % to test. The training images are also shown
moved by one pixel in the four directions (data augmentation): the network learns that a shifted 7 is still a 7.

    fastnn train digits
    fastnn predict digits my_digit.png
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.datasets import Digits
from fastnn.optim.lr_scheduler import CosineAnnealingLR
from fastnn.recipes import _common
from fastnn.train import Trainer

NAME = "digits"
DEFAULTS = dict(epochs=30, batch_size=64, lr=2e-3)
INPUT = (8, 8)
CLASSES = [str(d) for d in range(10)]


def build_model():
    return nn.Sequential(
        nn.Linear(64, 256, bias=False), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(256, 128, bias=False), nn.BatchNorm1d(128), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(128, 10),
    )  # fmt: skip


def prepare(images):
    """Grey images [N, 8, 8] with values 0 (paper) to 1 (ink) as a batch."""
    return fastnn.tensor(np.asarray(images, np.float32).reshape(len(images), 64))


def shifted(data):
    """The data set and four copies of it, moved by one pixel left, right, up and down."""
    images = data.x.cpu().numpy().reshape(-1, 8, 8)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    moves = [padded[:, 1 + dy : 9 + dy, 1 + dx : 9 + dx] for dy, dx in ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))]
    return TensorDataset(np.concatenate(moves).reshape(-1, 64), np.tile(data.y.cpu().numpy(), 5))


def main(args):
    out = _common.start(args)
    train, test = Digits(train=True), Digits(train=False)
    train_loader = DataLoader(shifted(train), args.batch_size, shuffle=True)
    test_loader = DataLoader(test, 360)

    model = build_model()
    print(model.summary((64,)))
    optimizer = optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"],
                      scheduler=CosineAnnealingLR(optimizer, args.epochs),
                      checkpoint=out / "checkpoint.safetensors", progress=not args.quiet)  # fmt: skip
    history = trainer.fit(train_loader, test_loader, epochs=args.epochs, resume="auto" if args.resume else False)
    if trainer.interrupted:  # Ctrl-C: the checkpoint is written, and --resume continues from it
        raise KeyboardInterrupt
    _common.save(model, out, NAME)

    scores = trainer.predict(test_loader)
    right = scores.argmax(1) == test.y.cpu().numpy()
    if not args.no_plots:
        history.plot(out / "curves.png", title="digits: learning curves")
        draw(test, scores, right, out)
    return {"test_accuracy": right.mean(), "test_mistakes": int((~right).sum()), "test_images": len(test)}


def draw(test, scores, right, out):
    """A sheet of test images: every mistake first, then others at random; and the confusion matrix."""
    from fastnn.metrics import confusion_matrix
    from fastnn.train.plots import plot_confusion_matrix, plot_images

    order = np.concatenate([np.flatnonzero(~right), np.random.default_rng(0).permutation(np.flatnonzero(right))])[:32]
    truth, guess = test.y.cpu().numpy(), scores.argmax(1)
    labels = [f"{guess[i]}" if right[i] else f"{guess[i]} (is {truth[i]})" for i in order]
    plot_images(
        test.x.cpu().numpy()[order].reshape(-1, 8, 8),
        out / "predictions.png",
        labels,
        title=f"Test digits: {right.mean():.1%} right. The {int((~right).sum())} mistakes come first.",
    )
    plot_confusion_matrix(confusion_matrix(guess, truth, num_classes=10), out / "confusion.png", CLASSES,
                          title="digits: test set")  # fmt: skip


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
