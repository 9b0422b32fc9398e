"""glove-text8: vectors whose products are the logarithms of how often words meet, within ten words of each other.

fastnn train glove-text8 --data-dir DATA
"""

from fastnn.datasets import Text8
from fastnn.recipes import _common, _words
from fastnn.text import GloVe

NAME = "glove-text8"
DEFAULTS = dict(epochs=20, lr=0.05)


def main(args):
    out = _common.start(args)
    text = Text8(args.data_dir)
    model = GloVe(text.sentences, vector_size=100, window=10, x_max=10, lr=args.lr, epochs=args.epochs,
                  seed=args.seed + 1)  # fmt: skip
    model.wv.save_glove(out / "vectors.txt")
    _words.show_neighbours(model.wv, ["king", "three", "france", "music", "water", "computer"])
    if not args.no_plots:
        from fastnn.train.plots import plot_curves

        plot_curves({"loss": model.losses}, out / "loss.png", xlabel="epoch", ylabel="mean of f(X) diff^2 / 2")
        _words.draw(model.wv, out / "words.png")
    return {"loss": model.losses[-1], **_words.judge(model.wv, args.data_dir)}


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
