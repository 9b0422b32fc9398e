"""slot-filling: a ticket office finds where a traveller goes to, where from, and when.

"I leave Taipei on November 2nd" and "I arrive in Taipei on November 2nd" differ in one word, and not in the word that
is tagged: a network without a memory cannot tell them apart, an RNN can. The sentences are made by a grammar; the
cities of the test are others than those of the training (unknown words: what counts is the place in the sentence).

    fastnn train slot-filling
"""

import numpy as np

from fastnn import nn
from fastnn.recipes import _common, _text
from fastnn.text import SequenceTagger, Vocabulary

NAME = "slot-filling"
DEFAULTS = dict(epochs=6, batch_size=50, lr=5e-3)
CITIES = ("Taipei Beijing Paris London Rome Oslo Vienna Madrid Lisbon Athens Cairo Nairobi Delhi Lima Quito "
          "Boston Denver Dallas Miami Seattle Sydney Perth Tokyo Osaka Seoul Hanoi Prague Warsaw Dublin "
          "Bern").split()  # fmt: skip
MONTHS = "January February March April May June July August September October November December".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
LABELS = ["O", "B-to", "B-from", "B-time", "I-time"]
OPENINGS = ["I would like to", "we want to", "please help me to", "can I", "my friend must", "they will"]
PHRASES = [
    "leave {from}", "depart from {from}", "arrive in {to}", "arrive {to}", "go to {to}", "fly from {from} to {to}",
    "travel to {to} from {from}", "leave {from} for {to}", "reach {to} coming from {from}", "get to {to}",
    "start in {from} and end in {to}", "not go to {to} but return to {to}",
]  # fmt: skip
TIMES = ["", "on {time}", "before {time}", "after {time}", "no later than {time}"]


def sentence(rng, cities):
    """Words and their labels."""
    text = " ".join([rng.choice(OPENINGS), rng.choice(PHRASES), rng.choice(TIMES)])
    words, labels = [], []
    for part in text.split():
        if part in ("{to}", "{from}"):
            words.append(str(rng.choice(cities)))
            labels.append(f"B-{part[1:-1]}")
        elif part == "{time}":
            day = (
                [str(rng.choice(DAYS))] if rng.random() < 0.4 else [str(rng.choice(MONTHS)), f"{rng.integers(1, 29)}th"]
            )
            words += day
            labels += ["B-time", "I-time"][: len(day)]
        else:
            words.append(part)
            labels.append("O")
    return words, labels


class WithoutMemory(nn.Module):
    """The same tagger, word by word: what a network that sees one word at a time can know."""

    def __init__(self, vocab_size, embedding_dim, hidden_size, num_outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Embedding(vocab_size, embedding_dim), nn.Linear(embedding_dim, hidden_size),
                                    nn.ReLU(), nn.Linear(hidden_size, num_outputs))  # fmt: skip

    def forward(self, x, lengths=None):
        return self.layers(x)


def main(args):
    folder = _common.start(args)
    rng = np.random.default_rng(args.seed)
    train = [sentence(rng, CITIES[:20]) for _ in range(2000)]
    tests = {"known_cities": [sentence(rng, CITIES[:20]) for _ in range(500)],
             "new_cities": [sentence(rng, CITIES[20:]) for _ in range(500)]}  # fmt: skip
    # Some cities of the training count as unknown words, so that the network learns what to do with those.
    hidden = set(CITIES[:4])
    vocabulary = Vocabulary.build([[w for w in words if w not in hidden] for words, _ in train], bos=None, eos=None)
    vocabulary.save(folder / "vocabulary.json")

    def encode(rows):
        return [(vocabulary.encode(words), [LABELS.index(label) for label in labels]) for words, labels in rows]

    results = {}
    for kind, model in (
        ("without_memory", WithoutMemory(len(vocabulary), 24, 48, len(LABELS))),
        ("rnn", SequenceTagger(len(vocabulary), 24, 48, len(LABELS), cell="rnn", bidirectional=True)),
    ):
        args.folder = folder / kind
        args.folder.mkdir(exist_ok=True)
        loader = _text.sentences(encode(train), args.batch_size, shuffle_seed=args.seed)
        _text.fit(args, NAME, model, loader, _text.sentences(encode(tests["known_cities"]), 250))
        for part, rows in tests.items():
            guess = [[LABELS[i] for i in row] for row in _text.tag(model, [vocabulary.encode(w) for w, _ in rows])]
            results[f"{kind}_{part}_f1"] = _text.span_scores([labels for _, labels in rows], guess)["f1"]
    _common.save(model, folder, NAME)
    for text in ("I would like to arrive in Taipei on November 2th", "I would like to leave Taipei on November 2th"):
        labels = _text.tag(model, [vocabulary.encode(text.split())])[0]
        print(" ".join(w if not i else f"[{w}: {LABELS[i]}]" for w, i in zip(text.split(), labels)))
    return results


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
