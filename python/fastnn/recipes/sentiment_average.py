"""sentiment-average: is a review positive? The mean of the vectors of its words and a linear layer on top.

It works for sentences of any length, and it ignores order: "not good, really bad" is "not bad, really good" to it.

    fastnn train sentiment-average --data-dir DATA
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader
from fastnn.datasets import RtPolarity
from fastnn.recipes import _common
from fastnn.text import Vocabulary, WordTokenizer
from fastnn.train import EarlyStopping, Trainer

NAME = "sentiment-average"
DEFAULTS = dict(epochs=12, batch_size=64, lr=2e-3)
WIDTH = 100


class Average(nn.Module):
    """Ids [N, T], padded with `pad`, to one logit [N, 1]: the mean over the words that are there."""

    def __init__(self, words, pad):
        super().__init__()
        self.bag = nn.EmbeddingBag(words, WIDTH, mode="mean", padding_idx=pad)
        nn.init.normal_(self.bag.weight, std=0.1)
        self.dropout = nn.Dropout(0.5)
        self.output = nn.Linear(WIDTH, 1)

    def forward(self, x):
        return self.output(self.dropout(self.bag(x)))


def main(args):
    out = _common.start(args)
    parts = {split: RtPolarity(split, args.data_dir) for split in ("train", "val", "test")}
    tokenize = WordTokenizer()
    tokens = {split: [tokenize(s) for s in data.sentences] for split, data in parts.items()}
    vocabulary = Vocabulary.build(tokens["train"], min_count=2, bos=None, eos=None)
    longest = max(len(s) for rows in tokens.values() for s in rows)

    def batches(split, shuffle=False):
        x = np.full((len(tokens[split]), longest), vocabulary.pad, np.int64)
        for row, sentence in zip(x, tokens[split]):
            row[: len(sentence)] = vocabulary.encode(sentence)
        y = parts[split].labels.astype(np.float32)[:, None]
        return DataLoader(
            fastnn.data.TensorDataset(fastnn.tensor(x), fastnn.tensor(y)), args.batch_size, shuffle=shuffle
        )

    model = Average(len(vocabulary), vocabulary.pad)
    optimizer = optim.Adam(model.parameters(), lr=args.lr)
    best = EarlyStopping(patience=args.epochs)  # stops never, keeps the weights of the best epoch
    trainer = Trainer(model, nn.BCEWithLogitsLoss(), optimizer, metrics=["accuracy"], callbacks=[best],
                      checkpoint=out / "checkpoint.safetensors", progress=not args.quiet)  # fmt: skip
    history = trainer.fit(batches("train", True), batches("val"), args.epochs, resume="auto" if args.resume else False)
    if trainer.interrupted:  # Ctrl-C: the checkpoint is written, and --resume continues from it
        raise KeyboardInterrupt
    _common.save(model, out, NAME)
    right = (trainer.predict(batches("test"))[:, 0] > 0) == parts["test"].labels

    # The part of a word in the sum that is the logit.
    lean = (model.bag.weight.detach().cpu().numpy() @ model.output.weight.detach().cpu().numpy())[:, 0]
    common = [i for i, n in enumerate(vocabulary.counts) if n >= 20]
    order = sorted(common, key=lambda i: lean[i])
    print("  negative:", ", ".join(vocabulary.tokens[i] for i in order[:10]))
    print("  positive:", ", ".join(vocabulary.tokens[i] for i in order[-10:]))
    if not args.no_plots:
        history.plot(out / "curves.png", title=f"{NAME}: learning curves")
    return {"test_accuracy": right.mean(), "test_sentences": len(right)}


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
