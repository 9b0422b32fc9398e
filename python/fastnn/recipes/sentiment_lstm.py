"""sentiment-lstm: a network that reads a film review's sentence in both directions says whether it is positive.

There are 7,300 sentences to learn from, few for an LSTM. So its word vectors come from more text first (skip-gram on
the reviews and on the phrases of SST-2, without their labels), words are dropped at random, and five networks from
other beginnings are averaged. SST-2 holds sentences of the same reviews: phrases that occur in the parts for validation
and test are left out, and no label of it is used.

    fastnn train sentiment-lstm --data-dir DATA
"""

import argparse

import numpy as np

import fastnn
from fastnn import nn
from fastnn.datasets import SST2, RtPolarity
from fastnn.recipes import _common, _text
from fastnn.text import SequenceClassifier, Vocabulary, Word2Vec, WordTokenizer

NAME = "sentiment-lstm"
DEFAULTS = dict(epochs=7, batch_size=50, lr=2e-3)
WIDTH, UNITS, NETWORKS, WORD_DROPOUT = 100, 64, 5, 0.2


class Reader(nn.Module):
    """A bidirectional LSTM, the mean and the maximum over its steps; while training, some words are hidden."""

    def __init__(self, vocabulary, vectors):
        super().__init__()
        self.unk = vocabulary.unk
        self.classifier = SequenceClassifier(len(vocabulary), WIDTH, UNITS, 2, bidirectional=True, pool="mean+max",
                                             dropout=0.5, padding_idx=vocabulary.pad)  # fmt: skip
        with fastnn.no_grad():
            self.classifier.embedding.weight.copy_(fastnn.tensor(vectors))

    def forward(self, x, lengths):
        if self.training:
            hidden = fastnn.rand(x.shape) < WORD_DROPOUT
            x = fastnn.where(hidden, fastnn.full_like(x, self.unk), x)
        return self.classifier(x, lengths)


def letters(sentence):
    """A sentence without blanks and marks: the sources tokenise differently."""
    return "".join(c for c in sentence.lower() if c.isalnum())


def more_text(data_dir, train, held_out):
    """Sentences to learn word vectors from; nothing of the held-out ones is among them."""
    text = [*train, *train]  # twice: the reviews are what matters
    try:
        known = "|".join(letters(" ".join(s)) for s in held_out)
        phrases = {s for s in SST2("train", data_dir).sentences if len(s.split()) > 3 and letters(s) not in known}
        text += [s.split() for s in sorted(phrases)]
    except FileNotFoundError:
        print("SST-2 is not there: word vectors are learnt without it")
    return text


def word_vectors(vocabulary, text, seed):
    """Skip-gram vectors of the vocabulary's words [V, D], scaled to a deviation of 0.3; others start at random."""
    model = Word2Vec(text, vector_size=WIDTH, window=5, min_count=3, negative=5, sample=1e-4, sg=True, epochs=5,
                     seed=seed + 1)  # fmt: skip
    vectors = np.random.default_rng(seed).normal(0, 0.3, (len(vocabulary), WIDTH)).astype(np.float32)
    scale = 0.3 / np.std(np.stack([model.wv[w] for w in vocabulary.tokens if w in model.wv]))
    for i, word in enumerate(vocabulary.tokens):
        if word in model.wv:
            vectors[i] = model.wv[word] * scale
    vectors[vocabulary.pad] = 0
    return vectors


def main(args):
    folder = _common.start(args)
    parts = {split: RtPolarity(split, args.data_dir) for split in ("train", "val", "test")}
    tokenize = WordTokenizer(punctuation="keep")
    tokens = {split: [tokenize(s) or ["."] for s in data.sentences] for split, data in parts.items()}
    text = more_text(args.data_dir, tokens["train"], tokens["val"] + tokens["test"])
    # Words that have a vector are known, though they may not occur in the labelled sentences.
    vocabulary = Vocabulary.build(text, min_count=3, bos=None, eos=None)
    vocabulary.save(folder / "vocabulary.json")
    print(f"{sum(map(len, text))} words of text, {len(vocabulary)} different ones")
    vectors = word_vectors(vocabulary, text, args.seed)

    def batches(split, shuffle_seed=None):
        items = [(vocabulary.encode(s), y) for s, y in zip(tokens[split], parts[split].labels.tolist())]
        return _text.sentences(items, args.batch_size if split == "train" else 300, shuffle_seed=shuffle_seed)

    chances = {"val": [], "test": []}
    for i in range(NETWORKS):
        fastnn.manual_seed(args.seed + i)
        model = Reader(vocabulary, vectors)
        own = argparse.Namespace(**{**vars(args), "folder": folder / f"network-{i}"})
        own.folder.mkdir(exist_ok=True)
        trainer, _ = _text.fit(own, NAME, model, batches("train", args.seed + i), batches("val"),
                               weight_decay=1e-4, metrics=["accuracy"])  # fmt: skip
        for split, found in chances.items():
            scores = fastnn.tensor(trainer.predict(batches(split)))
            found.append(scores.softmax(-1).cpu().numpy())
            right = (found[-1].argmax(1) == parts[split].labels).mean()
            print(f"network {i + 1}: {split} {right:.2%}", end="\n" if split == "test" else ", ")

    truth = parts["test"].labels
    mean = np.mean(chances["test"], axis=0)
    alone = [(c.argmax(1) == truth).mean() for c in chances["test"]]
    wrong = np.flatnonzero(mean.argmax(1) != truth)
    print("\nThe mistakes it was surest of:")
    for i in sorted(wrong, key=lambda i: -mean[i].max())[:6]:
        print(f"  {parts['test'].classes[mean[i].argmax()]} {mean[i].max():.0%}: {parts['test'].sentences[i]}")
    return {
        "test_accuracy": (mean.argmax(1) == truth).mean(),
        "test_one_network": float(np.mean(alone)),
        "val_accuracy": (np.mean(chances["val"], axis=0).argmax(1) == parts["val"].labels).mean(),
    }


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
