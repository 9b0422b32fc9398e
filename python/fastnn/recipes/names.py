"""names: a simple RNN, a GRU and an LSTM learn how given names are spelt, and invent some.

Names are padded to batches of like length; padding counts for nothing. The gradients are clipped by their norm, the new
names drawn letter by letter until the end mark comes.

    fastnn train names --data-dir DATA
"""

import argparse

import fastnn
from fastnn import nn
from fastnn.data import split_indices
from fastnn.datasets import Names
from fastnn.recipes import _common, _text
from fastnn.text import LanguageModel, Vocabulary, generate, sequence_log_prob

NAME = "names"
DEFAULTS = dict(epochs=12, batch_size=128, lr=4e-3)
UNITS, VALIDATION = 128, 2000


class Scores(nn.Module):
    """A language model on padded names: what stands behind a name has no influence on it, so lengths are not needed."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, lengths):
        return self.model(x)[0]


def main(args):
    folder = _common.start(args)
    names = Names(args.data_dir).items
    vocabulary = Vocabulary.build([list(n) for n in names], unk=None, order="token")
    vocabulary.save(folder / "vocabulary.json")
    items = []
    for name in names:
        ids = vocabulary.encode(name, bos=True, eos=True)
        items.append((ids[:-1], ids[1:]))  # what is read, and what should come next
    sizes = [len(items) - VALIDATION, VALIDATION]
    train, val = ([items[i] for i in part] for part in split_indices(len(items), sizes, args.seed))

    models, curves = {}, {}
    for cell in ("rnn", "gru", "lstm"):
        fastnn.manual_seed(args.seed)
        models[cell] = LanguageModel(len(vocabulary), UNITS, embedding_dim=24, cell=cell, dropout=0.1)
        loader = _text.sentences(train, args.batch_size, shuffle_seed=args.seed, multiple=4)
        own = argparse.Namespace(**{**vars(args), "folder": folder / cell})
        own.folder.mkdir(exist_ok=True)
        _, history = _text.fit(own, NAME, Scores(models[cell]), loader, _text.sentences(val, 500, multiple=4),
                               plain=models[cell])  # fmt: skip
        curves[cell] = history["val_loss"]
        print(f"{cell}: {_text.report(curves[cell][-1])}")
    best = models[min(curves, key=lambda cell: curves[cell][-1])].eval()
    _common.save(best, folder, NAME)

    known, new = set(names), []
    for temperature in (0.6, 0.9, 1.2):
        made = generate(best, 20, n=24, first=vocabulary.bos, stop=vocabulary.eos,
                        avoid=[vocabulary.pad, vocabulary.bos], temperature=temperature, seed=args.seed)  # fmt: skip
        new = [name for name in ("".join(vocabulary.decode(ids)) for ids in made) if name not in known]
        print(f"temperature {temperature}: {', '.join(new[:14])}")
    for name in ("emma", "jaxson", "xqzrt"):
        ids = fastnn.tensor(vocabulary.encode(name, eos=True)[None])
        print(f"log P({name}) = {sequence_log_prob(best, ids, first=vocabulary.bos).item():.1f}")
    if not args.no_plots:
        from fastnn.train.plots import plot_curves

        plot_curves(curves, folder / "cells.png", xlabel="epoch", ylabel="nats a letter", title="names: validation")
    return {**{f"val_loss_{cell}": c[-1] for cell, c in curves.items()}, "share_new": f"{len(new) / 24:.0%}"}


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
