"""plain-vs-residual: why deep networks need shortcuts. Plain and residual networks of 20 and 44 layers, the same data.

A plain network of 44 layers fits even its training images far worse than one of 20; with shortcuts around every two
layers, both learn, and better than either plain one. The networks are the paper's for 32x32 images, a quarter as wide,
on a part of CIFAR-10 halved in size.

    fastnn train plain-vs-residual --data-dir DATA
"""

import numpy as np

import fastnn
import fastnn.nn.functional as F
from fastnn import models, nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.datasets import CIFAR10
from fastnn.optim.lr_scheduler import WarmupCosine
from fastnn.recipes import _common
from fastnn.train import Trainer

NAME = "plain-vs-residual"
DEFAULTS = dict(epochs=12, batch_size=64, lr=0.1)
DEPTHS, WIDTH, IMAGES = (20, 44), 4, 3000


def small(data, n):
    """The first n images at half their size."""
    x = (data.x.cpu().numpy()[:n] - CIFAR10.mean) / CIFAR10.std
    x = F.avg_pool2d(fastnn.tensor(x.astype(np.float32)), 2)
    return TensorDataset(x.cpu().numpy(), data.y.cpu().numpy()[:n])


def fit(args, depth, shortcut, train, test, name):
    """The history of one network; SGD with momentum as in the paper."""
    fastnn.manual_seed(args.seed)
    model = models.CifarResNet(depth, shortcut=shortcut, width=WIDTH)
    optimizer = optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(train, args.batch_size, shuffle=True)
    steps = args.epochs * len(loader)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"],
                      scheduler=WarmupCosine(optimizer, steps // 10, steps), schedule_per="step",
                      checkpoint=args.folder / f"checkpoint-{name}.safetensors", progress=not args.quiet)  # fmt: skip
    history = trainer.fit(loader, DataLoader(test, 250), args.epochs, resume="auto" if args.resume else False)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return history


def main(args):
    args.folder = out = _common.start(args)
    train, test = (small(CIFAR10(train=part, data_dir=args.data_dir), n) for part, n in ((True, IMAGES), (False, 1000)))
    curves, results = {}, {}
    for shortcut, kind in (("none", "plain"), ("zeros", "residual")):
        for depth in DEPTHS:
            name = f"{kind}-{depth}"
            history = fit(args, depth, shortcut, train, test, name)
            curves[name] = history["loss"]
            results[f"training_loss_{kind}_{depth}"] = float(history["loss"][-1])
            results[f"test_accuracy_{kind}_{depth}"] = float(history["val_accuracy"][-1])
            print(f"{name}: training loss {curves[name][-1]:.3f}, test accuracy {history['val_accuracy'][-1]:.1%}")
    if not args.no_plots:
        from fastnn.train.plots import plot_curves

        plot_curves(curves, out / "losses.png", xlabel="epoch", ylabel="training loss",
                    title="plain-vs-residual: training loss by depth")  # fmt: skip
    return results


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
