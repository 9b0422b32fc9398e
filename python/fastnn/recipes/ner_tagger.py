"""ner-tagger: people, places and companies in sentences, with one direction and with both.

"Teddy Roosevelt was a great president" and "Teddy bears are on sale" begin alike: only what follows tells whether Teddy
is a person. A network that reads from the left has to guess there; one that reads in both directions knows. The
sentences are made by a grammar; a third of the names of the test do not occur in training.

    fastnn train ner-tagger
"""

import numpy as np

from fastnn.recipes import _common, _text
from fastnn.text import SequenceTagger, Vocabulary

NAME = "ner-tagger"
DEFAULTS = dict(epochs=6, batch_size=50, lr=4e-3)
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "B-ORG", "I-ORG"]
FIRST = ("Teddy Harry Hermione Sally Robert Grace Alan Ada Marie Paris Florence Chelsea Jordan Austin Virginia Georgia "
         "Emma Oscar Hugo Ivan").split()  # fmt: skip
LAST = ("Roosevelt Potter Granger Johnson Lin Hopper Turing Lovelace Curie Washington Lincoln Houston Berlin London "
        "Ford Dell Disney Bell Stone Brook").split()  # fmt: skip
PLACES = ("Paris Florence Chelsea Jordan Austin Virginia Georgia Washington Lincoln Houston Berlin London Madrid Oslo "
          "Lima Cairo").split()  # fmt: skip
FIRMS = "Ford Dell Disney Bell Apple Orange Amber Delta Nova Atlas".split()
THINGS = "bears apples oranges durians books lamps chairs kites maps clocks".split()
JOBS = "farmer teacher pilot president painter doctor cultivator singer baker judge".split()
FRUIT = "orange apple durian cherry lemon".split()
TEMPLATES = [
    "{P} was a great {job}", "{P} is an {fruit} {job}", "{f} {things} are on sale", "{f} {things} are made in {L}",
    "yesterday {P} met {P}", "{P} lives in {L}", "{O} opened an office in {L}", "{P} works for {O}",
    "{L} is a large city", "{L} {things} are famous", "{P} and {P} invented a new spell",
    "he said {P} was a great {job}", "he said {f} {things} are on sale", "{O} shares fell", "{O} {things} are cheap",
    "{P} left {O}", "the {fruit} {job} met {P}",
]  # fmt: skip


def sentence(rng, first, last):
    """Words and their labels. {f} is a first name that is no person: the name of a thing."""
    words, labels = [], []

    def put(tokens, kinds):
        words.extend(str(t) for t in tokens)
        labels.extend(kinds)

    for part in str(rng.choice(TEMPLATES)).split():
        if part == "{P}":
            whole = rng.random() < 0.7
            put([rng.choice(first), rng.choice(last)][: 1 + whole], ["B-PER", "I-PER"][: 1 + whole])
        elif part == "{O}":
            whole = rng.random() < 0.4
            put([rng.choice(FIRMS), "Inc"][: 1 + whole], ["B-ORG", "I-ORG"][: 1 + whole])
        elif part == "{L}":
            put([rng.choice(PLACES)], ["B-LOC"])
        else:
            kinds = {"{f}": first, "{things}": THINGS, "{job}": JOBS, "{fruit}": FRUIT}
            put([rng.choice(kinds[part]) if part in kinds else part], ["O"])
    return words, labels


def main(args):
    folder = _common.start(args)
    rng = np.random.default_rng(args.seed)
    train = [sentence(rng, FIRST[:15], LAST[:15]) for _ in range(3000)]
    test = [sentence(rng, FIRST[5:], LAST[5:]) for _ in range(1000)]
    # A twelfth of the words is hidden, so that the network learns to do with an unknown word.
    vocabulary = Vocabulary.build([words for words, _ in train], bos=None, eos=None)
    vocabulary.save(folder / "vocabulary.json")
    numbers = [(vocabulary.encode(words), [LABELS.index(label) for label in labels]) for words, labels in train]
    for ids, _ in numbers:
        ids[rng.random(len(ids)) < 1 / 12] = vocabulary.unk
    held_out = [(vocabulary.encode(words), [LABELS.index(label) for label in labels]) for words, labels in test]

    results = {}
    for kind, both in (("left_to_right", False), ("both_directions", True)):
        model = SequenceTagger(len(vocabulary), 32, 48, len(LABELS), bidirectional=both, dropout=0.2)
        args.folder = folder / kind
        args.folder.mkdir(exist_ok=True)
        loader = _text.sentences(numbers, args.batch_size, shuffle_seed=args.seed)
        _text.fit(args, NAME, model, loader, _text.sentences(held_out, 250))
        guess = [[LABELS[i] for i in row] for row in _text.tag(model, [ids for ids, _ in held_out])]
        scores = _text.span_scores([labels for _, labels in test], guess)
        results[f"{kind}_f1"] = scores["f1"]
        print(f"{kind}: " + ", ".join(f"{name} {value:.2%}" for name, value in scores.items()))
    _common.save(model, folder, NAME)
    for text in ("Teddy Roosevelt was a great president", "Teddy bears are on sale", "Zoltan Lin is an apple farmer"):
        labels = _text.tag(model, [vocabulary.encode(text.split())])[0]
        print(" ".join(w if not i else f"[{w}: {LABELS[i]}]" for w, i in zip(text.split(), labels)))
    return results


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
