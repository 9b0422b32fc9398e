"""word-lm: an LSTM predicts the next word of Wikipedia articles.

Tied embeddings, dropout, 35 words of truncated backpropagation with the state carried on, the weights of the best
epoch. bench/word_lm.py trains the same model in PyTorch beside it.

    fastnn train word-lm --data-dir DATA
"""

from fastnn.datasets import WikiText2
from fastnn.recipes import _common, _text
from fastnn.text import LanguageModel, Vocabulary, WordTokenizer, generate, perplexity

NAME = "word-lm"
DEFAULTS = dict(epochs=12, batch_size=20, lr=4e-3)
UNITS, LENGTH, DROPOUT, MIN_COUNT = 200, 35, 0.5, 2


def data(data_dir):
    """The vocabulary of the training articles (words that occur twice), and the ids of the three parts."""
    parts = [WikiText2(split, data_dir) for split in ("train", "val", "test")]
    vocabulary = Vocabulary.build([parts[0].tokens], MIN_COUNT, pad=None, bos=None)
    return vocabulary, [vocabulary.encode(part.tokens) for part in parts]


def build_model(vocab_size):
    return LanguageModel(vocab_size, UNITS, embedding_dim=UNITS, dropout=DROPOUT, tie_weights=True)


def main(args):
    args.folder = _common.start(args)
    vocabulary, (train, val, test) = data(args.data_dir)
    vocabulary.save(args.folder / "vocabulary.json")
    print(
        f"{len(train)} words, {len(vocabulary)} different ones with <unk>; {len(val)} to validate, {len(test)} to test"
    )
    model = build_model(len(vocabulary))
    score, _ = _text.train_stream(args, NAME, model, train, val, LENGTH, weight_decay=1e-4)
    losses = {"val": score(val), "test": score(test)}
    for part, loss in losses.items():
        print(f"{part}: {_text.report(loss)}")
    begin = [w for w in ("the", "city") if w in vocabulary] or [vocabulary.tokens[-1]]
    sample = generate(model, 60, vocabulary.encode(begin), temperature=0.8, top_p=0.95, avoid=[vocabulary.unk],
                      seed=args.seed)[0]  # fmt: skip
    print("\n" + WordTokenizer().join(vocabulary.decode(sample)))
    return {f"{part}_perplexity": perplexity(loss) for part, loss in losses.items()}


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
