"""word2vec-text8: skip-gram with negative sampling on Wikipedia: words that keep the same company get like vectors.

    fastnn train word2vec-text8 --data-dir DATA

``vectors.bin`` is in word2vec's binary format: other programs read it, and so do the recipes analogies and debias.
"""

from fastnn.recipes import _common, _words

NAME = "word2vec-text8"
DEFAULTS = dict(epochs=5)


def main(args):
    out = _common.start(args)
    vectors = _words.train_word2vec(args, args.epochs)
    vectors.save_word2vec(out / _words.FILE, binary=True)
    _words.show_neighbours(vectors, ["king", "three", "france", "music", "water", "computer"])
    if not args.no_plots:
        _words.draw(vectors, out / "words.png")
    return _words.judge(vectors, args.data_dir)


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
