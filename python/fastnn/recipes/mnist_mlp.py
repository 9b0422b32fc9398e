"""mnist-mlp: a network with two hidden layers reads MNIST, 60,000 handwritten digits of 28x28 pixels.

ReLU, dropout, AdamW and a cosine schedule, in mini-batches of 128: the tools of the second course put together.

    fastnn train mnist-mlp --data-dir DATA     (without it the files are downloaded once)
    fastnn predict mnist-mlp my_digit.png
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader
from fastnn.datasets import MNIST
from fastnn.optim.lr_scheduler import CosineAnnealingLR
from fastnn.recipes import _common
from fastnn.train import Trainer, write_report

NAME = "mnist-mlp"
DEFAULTS = dict(epochs=12, batch_size=128, lr=1.5e-3)
INPUT = (28, 28)
CLASSES = MNIST.classes


def build_model():
    return nn.Sequential(
        nn.Linear(784, 512), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(512, 256), nn.ReLU(), nn.Dropout(0.3),
        nn.Linear(256, 10),
    )  # fmt: skip


def prepare(images):
    """Grey images [N, 28, 28] with values 0 (background) to 1 (ink) as a batch."""
    return fastnn.tensor(np.asarray(images, np.float32).reshape(len(images), 784))


def main(args, data=MNIST, name=NAME):
    out = _common.start(args)
    train, test = data(train=True, data_dir=args.data_dir), data(train=False, data_dir=args.data_dir)
    train_loader = DataLoader(train, args.batch_size, shuffle=True)
    test_loader = DataLoader(test, 1000)

    model = build_model()
    print(model.summary((784,)))
    optimizer = optim.AdamW(model.parameters(), lr=args.lr, weight_decay=0.01)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"],
                      scheduler=CosineAnnealingLR(optimizer, args.epochs),
                      checkpoint=out / "checkpoint.safetensors", progress=not args.quiet)  # fmt: skip
    history = trainer.fit(train_loader, test_loader, epochs=args.epochs, resume="auto" if args.resume else False)
    if trainer.interrupted:  # Ctrl-C: the checkpoint is written, and --resume continues from it
        raise KeyboardInterrupt
    _common.save(model, out, name)

    scores = trainer.predict(test_loader)
    right = scores.argmax(1) == test.y.cpu().numpy()
    if not args.no_plots:
        history.plot(out / "curves.png", title=f"{name}: learning curves")
        draw(name, data.classes, test, scores, right, out)
        write_report(out / "report.html", title=name, history=history, results={"test_accuracy": right.mean()},
                     model=model, input_shape=(784,), scores=scores, labels=test.y, classes=data.classes,
                     examples=test.x.cpu().numpy().reshape(-1, 28, 28))  # fmt: skip
    return {"test_accuracy": right.mean(), "test_mistakes": int((~right).sum()), "test_images": len(test)}


def draw(name, classes, test, scores, right, out):
    """The 32 mistakes the network was surest of, and the confusion matrix."""
    from fastnn.metrics import confusion_matrix
    from fastnn.train.plots import plot_confusion_matrix, plot_images

    truth, guess = test.y.cpu().numpy(), scores.argmax(1)
    margin = scores.max(1) - scores[np.arange(len(truth)), truth]
    worst = np.argsort(-margin)[:32]
    labels = [f"{classes[guess[i]]}\n(is {classes[truth[i]]})" for i in worst]
    plot_images(
        test.x.cpu().numpy()[worst].reshape(-1, 28, 28),
        out / "mistakes.png",
        labels,
        title=f"{name}: {right.mean():.2%} of the test images are right. These are the worst mistakes.",
    )
    plot_confusion_matrix(confusion_matrix(guess, truth, num_classes=10), out / "confusion.png", classes,
                          title=f"{name}: test set")  # fmt: skip


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
