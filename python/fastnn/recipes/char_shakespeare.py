"""char-shakespeare: an LSTM reads the plays of Shakespeare letter by letter, and writes one.

One layer of 512 units, one-hot letters in, 64 steps of truncated backpropagation with the state carried on, dropout,
clipped gradients. Below 1.60 nats a character on the last tenth of the text, which it was not trained on.

    fastnn train char-shakespeare --data-dir DATA
"""

import time

import numpy as np

from fastnn.datasets import TinyShakespeare
from fastnn.recipes import _common, _text
from fastnn.text import LanguageModel, generate

NAME = "char-shakespeare"
DEFAULTS = dict(epochs=8, batch_size=32, lr=3e-3)
HIDDEN, LENGTH, DROPOUT = 512, 64, 0.2


def main(args):
    args.folder = _common.start(args)
    train, val = (TinyShakespeare(split, args.data_dir) for split in ("train", "val"))
    vocabulary = train.vocabulary
    vocabulary.save(args.folder / "vocabulary.json")
    model = LanguageModel(len(vocabulary), HIDDEN, dropout=DROPOUT)
    weights = sum(p.numel() for p in model.parameters())
    print(f"{len(train)} characters, {len(vocabulary)} different ones; {weights} weights")
    start = time.perf_counter()
    score, _ = _text.train_stream(args, NAME, model, train.ids, val.ids, LENGTH)
    seconds = time.perf_counter() - start

    loss = score(val.ids)
    begin = "KING RICHARD" if "KING RICHARD" in train.text else train.text[:5]
    print(f"validation: {_text.report(loss)}\n")
    for temperature in (0.5, 0.8):
        sample = generate(model, 600, vocabulary.encode(begin), temperature=temperature, seed=args.seed)[0]
        text = "".join(vocabulary.decode(sample))
        print(f"--- temperature {temperature}\n{text}\n")
        (args.folder / f"sample-{temperature}.txt").write_text(text)
    words = set(train.text.split())
    known = np.mean([w in words for w in text.split()[1:-1]])
    return {"val_loss": loss, "known_words": f"{known:.0%} of the last sample", "training_seconds": seconds}


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
