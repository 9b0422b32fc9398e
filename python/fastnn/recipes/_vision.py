"""What the recipes with photographs share: images moved and mirrored on the way to the network, training, pictures."""

from __future__ import annotations

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.optim.lr_scheduler import WarmupCosine
from fastnn.recipes import _common
from fastnn.train import Trainer


class Augmented(DataLoader):
    """A shuffled loader that moves every image by up to ``shift`` pixels and mirrors half of them.

    What happens to an image depends on the seed, the epoch and its batch alone, so a resumed run sees the same images.
    """

    def __init__(self, dataset, batch_size: int, shift: int, mirror: bool):
        super().__init__(dataset, batch_size, shuffle=True)
        self.shift, self.mirror = shift, mirror

    def _fetch(self, indices):
        x, y = super()._fetch(indices)
        rng = np.random.default_rng([self.seed, self.epoch, *indices[:2]])
        images, s = x.numpy(), self.shift
        if self.mirror:
            images = np.where(rng.integers(2, size=(len(images), 1, 1, 1)) == 1, images[:, :, ::-1], images)
        if s:
            h, w = images.shape[1:3]
            images = np.pad(images, ((0, 0), (s, s), (s, s), (0, 0)), mode="edge")
            moves = rng.integers(0, 2 * s + 1, (len(images), 2))
            images = np.stack([a[i : i + h, j : j + w] for a, (i, j) in zip(images, moves)])
        return fastnn.from_numpy(np.ascontiguousarray(images)), y


def train(args, name, model, train, test, *, classes, shift=0, mirror=False, weight_decay=5e-4, prepare=None):
    """AdamW, its learning rate rising for a tenth of the run, then falling as a cosine; the scores of the test set.

    ``prepare`` turns images with values 0 to 1 into what the network is given.
    """
    out = args.folder
    pictures = test
    if prepare is not None:
        train, test = (TensorDataset(prepare(part.x.numpy()), part.y) for part in (train, test))
    loader, test_loader = Augmented(train, args.batch_size, shift, mirror), DataLoader(test, 250)
    print(model.summary(tuple(train.tensors[0].shape[1:])))
    optimizer = optim.AdamW(model.parameters(), lr=args.lr, weight_decay=weight_decay)
    steps = args.epochs * len(loader)
    scheduler = WarmupCosine(optimizer, max(steps // 10, 1), steps)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"],
                      scheduler=scheduler, schedule_per="step",
                      checkpoint=out / "checkpoint.safetensors", progress=not args.quiet)  # fmt: skip
    history = trainer.fit(loader, test_loader, epochs=args.epochs, resume="auto" if args.resume else False)
    if trainer.interrupted:  # Ctrl-C: the checkpoint is written, and --resume continues from it
        raise KeyboardInterrupt
    _common.save(model, out, name)
    scores = trainer.predict(test_loader)
    if not args.no_plots:
        history.plot(out / "curves.png", title=f"{name}: learning curves")
        show_mistakes(name, classes, pictures, scores, out)
    return scores


def result(scores, test) -> dict:
    """What a recipe reports of its test set."""
    right = scores.argmax(1) == test.y.numpy()
    return {"test_accuracy": right.mean(), "test_mistakes": int((~right).sum()), "test_images": len(test)}


def show_mistakes(name, classes, test, scores, out):
    """32 test images, the mistakes the network was surest of first, and the confusion matrix."""
    from fastnn.metrics import confusion_matrix
    from fastnn.train.plots import plot_confusion_matrix, plot_images

    truth, guess = test.y.numpy(), scores.argmax(1)
    wrong = np.flatnonzero(guess != truth)
    margin = scores.max(1) - scores[np.arange(len(truth)), truth]
    chosen = np.concatenate([wrong[np.argsort(-margin[wrong])], np.flatnonzero(guess == truth)])[:32]
    labels = [
        classes[guess[i]] + (f"\n(is {classes[truth[i]]})" if guess[i] != truth[i] else "") for i in chosen.tolist()
    ]
    title = f"{name}: {(guess == truth).mean():.2%} of the test images are right. Mistakes come first."
    plot_images(test.x.numpy()[chosen], out / "mistakes.png", labels, title=title)
    plot_confusion_matrix(confusion_matrix(guess, truth, num_classes=len(classes)), out / "confusion.png", classes,
                          title=f"{name}: test set")  # fmt: skip
