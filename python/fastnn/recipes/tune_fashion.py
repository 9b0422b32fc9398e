"""tune-fashion: random search over learning rate, width and dropout for a network that recognises clothes.

20 configurations, each on its proper scale, learn from 12,000 images for a few epochs and are compared on 5,000 others
(the dev set). The best one and the default then learn from all training images, and are compared on the test set, which
nothing was chosen by. Killed? The same command goes on with the trials that are missing.

    fastnn train tune-fashion --data-dir DATA
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset, split_indices
from fastnn.datasets import FashionMNIST
from fastnn.optim.lr_scheduler import CosineAnnealingLR
from fastnn.recipes import _common
from fastnn.train import Trainer
from fastnn.tune import Integer, LogUniform, RandomSearch, Space, Uniform, tune

NAME = "tune-fashion"
DEFAULTS = dict(epochs=10, batch_size=128, resume=False)
SPACE = Space(lr=LogUniform(1e-4, 1e-1), width=Integer(32, 512, log=True), dropout=Uniform(0.0, 0.6))
DEFAULT = dict(lr=1e-3, width=128, dropout=0.5)  # Adam's and dropout's usual values
TRIALS, SEARCH_EPOCHS, SEARCH_IMAGES = 20, 4, 12000


def build_model(width, dropout):
    return nn.Sequential(
        nn.Linear(784, width), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(width, width), nn.ReLU(), nn.Dropout(dropout),
        nn.Linear(width, 10),
    )  # fmt: skip


def train(config, data, held_out, epochs, batch_size):
    """Accuracy on `held_out` after `epochs` on `data`."""
    model = build_model(config["width"], config["dropout"])
    optimizer = optim.Adam(model.parameters(), lr=config["lr"])
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], progress=False,
                      scheduler=CosineAnnealingLR(optimizer, epochs))  # fmt: skip
    trainer.fit(DataLoader(data, batch_size, shuffle=True), epochs=epochs)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return trainer.evaluate(DataLoader(held_out, 1000))["accuracy"]


def main(args):
    out = _common.start(args)
    whole, test = (FashionMNIST(train=t, data_dir=args.data_dir) for t in (True, False))
    rest, dev = split_indices(len(whole), [len(whole) - 5000, 5000], args.seed, stratify=whole.y)
    few, dev = (TensorDataset(*whole.gather(np.asarray(i))) for i in (rest[:SEARCH_IMAGES], dev))

    def objective(trial):
        return train(trial.config, few, dev, SEARCH_EPOCHS, args.batch_size)

    # The batch size is no part of a configuration: trials of another one are another search.
    study = tune(objective, SPACE, RandomSearch(TRIALS, args.seed), folder=out / f"search-{args.batch_size}",
                 progress=not args.quiet, workers=min(2, fastnn.get_num_threads()))  # fmt: skip
    print(study.table(5))
    study.to_csv(out / "trials.csv")
    shares = study.importance()
    print("share of the variance: " + ", ".join(f"{name} {share:.0%}" for name, share in shares.items()))
    if not args.no_plots:
        study.plot_parallel(out / "trials.png")
        study.plot_importance(out / "importance.png")
    results = {}
    for name, config in (("default", DEFAULT), ("tuned", study.best.config)):
        fastnn.manual_seed(args.seed)
        results[f"test_accuracy_{name}"] = train(config, whole, test, args.epochs, args.batch_size)
    return {"dev_accuracy": study.best.score, **results, **{f"best_{k}": v for k, v in study.best.config.items()}}


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
