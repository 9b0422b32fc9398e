"""error-analysis-fashion: look at the mistakes of a clothes recogniser, tag them, and see what is worth working on.

A small convolutional network is trained on Fashion-MNIST; a hundred of its mistakes on the dev set go into a table.
Some tags can be given by a program: look-alikes, dark pictures, mistakes that were almost right, and labels that the
most similar training pictures contradict. The rest is for a person: the table is a CSV file.

    fastnn train error-analysis-fashion --data-dir DATA
    fastnn errors tag runs/error-analysis-fashion/errors.csv 1234 "cut off"
    fastnn errors show runs/error-analysis-fashion/errors.csv
"""

import numpy as np

from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset, Whitener, split_indices
from fastnn.datasets import FashionMNIST
from fastnn.metrics import confusion_matrix, expected_calibration_error, f1_score, wilson_interval
from fastnn.recipes import _common, cnn_fashion
from fastnn.strategy import collect_errors, confused_pairs, same_distribution
from fastnn.train import Trainer

NAME = "error-analysis-fashion"
DEFAULTS = dict(epochs=3, batch_size=128, lr=3e-3)
CLASSES = FashionMNIST.classes
IMAGES, DEV, LIMIT = 30_000, 5_000, 100
TOPS = {"T-shirt/top", "pullover", "dress", "coat", "shirt"}
SHOES = {"sandal", "sneaker", "ankle boot"}


def likely_wrong_labels(x, rows, predicted, true, x_train, y_train):
    """Which of the rows look mislabelled: of the 10 nearest training pictures, 8 or more say what the network said.

    Distances are in 50 principal components.
    """
    pca = Whitener("pca", components=50, eps=1.0).fit(x_train[:5000])
    near, far = (pca.transform(a) for a in (x[rows], x_train))
    squares = (near**2).sum(1)[:, None] - 2 * near @ far.T + (far**2).sum(1)
    neighbours = y_train[np.argpartition(squares, 10, axis=1)[:, :10]]
    votes = (neighbours == predicted[rows, None]).sum(1)
    return [r for r, v in zip(rows, votes) if v >= 8]


def main(args):
    out = _common.start(args)
    data = FashionMNIST(train=True, data_dir=args.data_dir, flatten=False)
    images, labels = data.x.cpu().numpy(), data.y.cpu().numpy()
    train, dev, spare, _ = split_indices(len(data), [IMAGES, DEV, DEV, len(data) - IMAGES - 2 * DEV], args.seed,
                                         stratify=labels)  # fmt: skip
    same = same_distribution(images[dev][:1000, ::4, ::4], images[spare][:1000, ::4, ::4], warn=False)
    print(f"dev set and the set beside it: told apart with {same.accuracy:.1%} accuracy (chance is 50 %)")

    model = cnn_fashion.build_model()
    optimizer = optim.AdamW(model.parameters(), lr=args.lr, weight_decay=5e-4)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], progress=not args.quiet,
                      checkpoint=out / "checkpoint.safetensors")  # fmt: skip
    loader = DataLoader(TensorDataset(images[train], labels[train]), args.batch_size, shuffle=True)
    dev_loader = DataLoader(TensorDataset(images[dev], labels[dev]), 500)
    history = trainer.fit(loader, dev_loader, args.epochs, resume="auto" if args.resume else False)
    if trainer.interrupted:
        raise KeyboardInterrupt
    scores, true = trainer.predict(dev_loader), labels[dev]
    predicted = scores.argmax(1)

    table = collect_errors(scores, true, CLASSES, LIMIT, args.seed)
    rows = np.array([r.index for r in table.rows])
    second = np.argsort(-scores, axis=1)[:, 1]
    ink = images[dev].mean(axis=(1, 2, 3))
    for r in table.rows:
        for tag, group in (("tops look alike", TOPS), ("shoes look alike", SHOES)):
            if {r.true, r.predicted} <= group:
                table.tag(r.index, tag)
    table.tag(rows[ink[rows] < np.quantile(ink, 0.1)], "dark picture")
    table.tag(rows[second[rows] == true[rows]], "second guess right")
    table.tag(likely_wrong_labels(images[dev], rows, predicted, true, images[train][:10_000], labels[train][:10_000]),
              "label doubtful")  # fmt: skip
    impact = table.label_impact("label doubtful")  # an upper limit: a person has to look
    table.to_csv(out / "errors.csv")
    print(f"\n{table}\n{impact}\n")
    error = wilson_interval(table.errors, table.examples)
    print(f"dev error {error.value:.2%}, 95 % limits {error.low:.2%} to {error.high:.2%}")
    for a, b, n in confused_pairs(predicted, true, CLASSES, 5):
        print(f"  {a} taken for {b}: {n}")
    probabilities = np.exp(scores - scores.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    if not args.no_plots:
        draw(table, history, images[dev], probabilities, predicted, true, out)
    return {
        "dev_error": error.value, "macro_f1": f1_score(predicted, true, "macro"),
        "calibration_error": expected_calibration_error(probabilities, true),
        "largest_tag": table.summary()[0]["tag"], "largest_tag_share": table.summary()[0]["share"],
        "error_due_to_labels": impact.labels, "share_due_to_labels": impact.share,
        "confused_most": " taken for ".join(confused_pairs(predicted, true, CLASSES, 1)[0][:2]),
    }  # fmt: skip


def draw(table, history, images, probabilities, predicted, true, out):
    """What each tag could win, the mistakes, the confusion matrix, calibration, ROC and precision-recall of shirts."""
    from fastnn.metrics.figures import plot_precision_recall, plot_reliability, plot_roc
    from fastnn.train.plots import plot_confusion_matrix

    history.plot(out / "curves.png", title=f"{NAME}: learning curves")
    table.plot(out / "tags.png")
    table.plot_images(images, out / "mistakes.png")
    if "label doubtful" in table.tags:
        table.plot_images(images, out / "labels.png", tag="label doubtful",
                          title="Is it the network that is wrong, or the label?")  # fmt: skip
    plot_confusion_matrix(confusion_matrix(predicted, true, 10), out / "confusion.png", CLASSES, title="dev set")
    plot_reliability({"softmax": probabilities}, true, out / "calibration.png", title="dev set")
    shirt = CLASSES.index("shirt")
    shown, target = {"shirt": probabilities[:, shirt]}, true == shirt
    plot_roc(shown, target, out / "roc.png", title="shirt against the rest")
    plot_precision_recall(shown, target, out / "precision-recall.png",
                          title="shirt against the rest")  # fmt: skip


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
