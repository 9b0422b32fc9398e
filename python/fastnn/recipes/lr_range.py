"""lr-range: finds a learning rate in one short run, and looks inside the network layer by layer.

The learning rate grows from batch to batch until the loss explodes; where it falls fastest is a good choice. Three
networks then train for an epoch each: with a hundredth of that rate, with it, and with thirty times the largest.

    fastnn train lr-range --data-dir DATA
"""

import math

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader
from fastnn.datasets import FashionMNIST
from fastnn.recipes import _common
from fastnn.train import Trainer, layer_report, lr_range_test

NAME = "lr-range"
DEFAULTS = dict(epochs=1, batch_size=128, resume=False)


def build_model():
    return nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def make_trainer(args, lr):
    fastnn.manual_seed(args.seed)  # the same start for all
    model = build_model()
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    return Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], progress=not args.quiet)


def main(args):
    out = _common.start(args)
    train, test = (FashionMNIST(train=t, data_dir=args.data_dir) for t in (True, False))
    loader = DataLoader(train, args.batch_size, shuffle=True)
    trainer = make_trainer(args, 1e-3)
    found = lr_range_test(trainer, loader, 1e-5, 10, 150)
    print(f"steepest at {found.steepest:.2g}, smallest loss at {found.largest:.2g}")
    report = layer_report(trainer.model, trainer.loss, next(iter(loader)))
    print(report)
    if not args.no_plots:
        found.plot(out / "range.png", title="lr-range: Fashion-MNIST, SGD with momentum")
        report.plot(out / "layers.png")
    results = {"steepest": found.steepest, "largest": found.largest}
    for name, lr in (("small", found.steepest / 100), ("found", found.steepest), ("huge", found.largest * 30)):
        trainer = make_trainer(args, lr)
        try:
            trainer.fit(loader, epochs=args.epochs)
            accuracy = trainer.evaluate(DataLoader(test, 1000))["accuracy"]
        except FloatingPointError:
            accuracy = math.nan
        if trainer.interrupted:
            raise KeyboardInterrupt
        text = f"{accuracy:.2%} of the test set" if accuracy == accuracy else "the loss is not a number any more"
        print(f"  learning rate {lr:<8.2g} {text}")
        results[f"test_accuracy_{name}"] = accuracy
    return results


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
