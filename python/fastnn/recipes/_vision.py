"""What the recipes with images share: how they are moved on the way to the network, training, pictures."""

from __future__ import annotations

from functools import partial

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.optim.lr_scheduler import WarmupCosine
from fastnn.recipes import _common
from fastnn.train import Trainer
from fastnn.vision import transforms as T


def run(args, name, data, build_model, *, augment=None, prepare=None, optimizer=None, weight_decay=5e-4):
    """Train on a set of `fastnn.datasets` that comes in two parts; what the recipe reports.

    Parameters
    ----------
    data : class
        ``data(train=..., data_dir=..., flatten=False)``
    augment : Transform, optional
        What happens to the training images on their way (`fastnn.vision.transforms`).
    prepare : callable, optional
        Turns images with values 0 to 1 into what the network is given, once.
    optimizer : callable, optional
        From (parameters, learning rate) to an optimizer; default AdamW with ``weight_decay``.
    """
    args.folder = _common.start(args)
    train_set, test_set = (data(train=part, data_dir=args.data_dir, flatten=False) for part in (True, False))
    model = build_model()
    print(model.summary(tuple(train_set.x.shape[1:])))
    trainer, loader, test_loader = trainer_of(
        args, model, train_set, test_set, augment, prepare, optimizer, weight_decay
    )
    history = trainer.fit(loader, test_loader, args.epochs, resume="auto" if args.resume else False)
    if trainer.interrupted:  # Ctrl-C: the checkpoint is written, and --resume continues from it
        raise KeyboardInterrupt
    _common.save(model, args.folder, name)
    scores = trainer.predict(test_loader)
    if not args.no_plots:
        history.plot(args.folder / "curves.png", title=f"{name}: learning curves")
        show_mistakes(name, data.classes, test_set, scores, args.folder)
    return result(scores, test_set)


def trainer_of(args, model, train, test, augment=None, prepare=None, optimizer=None, weight_decay=5e-4):
    """A trainer and the loaders of the training and the test set.

    The learning rate rises for a tenth of the run, then falls as a cosine.
    """
    if prepare is not None:
        train, test = (TensorDataset(prepare(part.x.cpu().numpy()), part.y) for part in (train, test))
    loader = DataLoader(train, args.batch_size, shuffle=True, transform=augment)
    if optimizer is None:
        optimizer = partial(optim.AdamW, weight_decay=weight_decay)
    optimizer = optimizer(model.parameters(), lr=args.lr)
    steps = args.epochs * len(loader)
    scheduler = WarmupCosine(optimizer, max(steps // 10, 1), steps)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"],
                      scheduler=scheduler, schedule_per="step",
                      checkpoint=args.folder / "checkpoint.safetensors", progress=not args.quiet)  # fmt: skip
    return trainer, loader, DataLoader(test, 250)


def batch(images, shape):
    """Images [N, ...] with values 0 to 1 as a batch [N, *shape]."""
    return fastnn.tensor(np.asarray(images, np.float32).reshape(len(images), *shape))


def moved(size, pixels: int, mirror: bool = False):
    """Images moved by up to ``pixels`` to every side, new ones as at the border; ``mirror``: half of them mirrored."""
    move = T.RandomCrop(size, padding=pixels, padding_mode="edge")
    return T.Compose([T.RandomHorizontalFlip(), move]) if mirror else move


def result(scores, test) -> dict:
    """What a recipe reports of its test set."""
    right = scores.argmax(1) == test.y.cpu().numpy()
    return {"test_accuracy": right.mean(), "test_mistakes": int((~right).sum()), "test_images": len(test)}


def show_mistakes(name, classes, test, scores, out):
    """32 test images, the mistakes the network was surest of first, and the confusion matrix."""
    from fastnn.metrics import confusion_matrix
    from fastnn.train.plots import plot_confusion_matrix, plot_images

    truth, guess = test.y.cpu().numpy(), scores.argmax(1)
    wrong = np.flatnonzero(guess != truth)
    margin = scores.max(1) - scores[np.arange(len(truth)), truth]
    chosen = np.concatenate([wrong[np.argsort(-margin[wrong])], np.flatnonzero(guess == truth)])[:32]
    labels = [
        classes[guess[i]] + (f"\n(is {classes[truth[i]]})" if guess[i] != truth[i] else "") for i in chosen.tolist()
    ]
    title = f"{name}: {(guess == truth).mean():.2%} of the test images are right. Mistakes come first."
    plot_images(test.x.cpu().numpy()[chosen], out / "mistakes.png", labels, title=title)
    plot_confusion_matrix(confusion_matrix(guess, truth, num_classes=len(classes)), out / "confusion.png", classes,
                          title=f"{name}: test set")  # fmt: skip
