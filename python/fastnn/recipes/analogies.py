"""analogies: man is to king as woman is to ...? The word whose vector is nearest to king - man + woman.

Takes ``vectors.bin`` (word2vec's binary format) from --out or from word2vec-text8, or trains vectors first.

    fastnn train analogies --data-dir DATA
"""

from fastnn.recipes import _common, _words

NAME = "analogies"
DEFAULTS = dict(epochs=5)
QUESTIONS = ["man king woman", "france paris germany", "good better bad", "one first two", "father mother son"]


def main(args):
    out = _common.start(args)
    vectors = _words.find_or_train(args, out, args.epochs)
    for question in QUESTIONS:
        a, b, c = question.split()
        if all(w in vectors for w in (a, b, c)):
            answers = ", ".join(f"{w} {s:.2f}" for w, s in vectors.analogy(a, b, c, topn=4))
            print(f"  {a} is to {b} as {c} is to: {answers}")
    result = _words.judge(vectors, args.data_dir, show_sections=True)
    if not args.no_plots:
        pairs = [w for w in "man woman king queen prince princess father mother son daughter".split() if w in vectors]
        vectors.picture(pairs, out / "pairs.png", "pca")
    return result


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
