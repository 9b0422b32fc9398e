"""debias: which words lean to he and which to she, and what is left after that direction is taken out.

Step 1 finds the direction from pairs such as he and she; step 2 removes it from words that do not mean it; step 3 makes
pairs symmetric, so that both are equally far from every neutral word. Takes vectors as the recipe analogies does.

    fastnn train debias --data-dir DATA
"""

import numpy as np

from fastnn.recipes import _common, _words
from fastnn.text import bias_direction, debias

NAME = "debias"
DEFAULTS = dict(epochs=5)
DEFINING = [("he", "she"), ("his", "her"), ("man", "woman"), ("father", "mother"), ("son", "daughter"),
            ("king", "queen"), ("brother", "sister"), ("male", "female")]  # fmt: skip
NEUTRAL = """doctor teacher engineer scientist writer artist singer nurse lawyer soldier musician programmer author
physicist actor poet housewife philosopher mathematician dancer""".split()
# They mean the difference, so they keep it.
SPECIFIC = (
    "he she his her him man woman men women boy girl beard actress actor husband wife lady lord mrs mr sir".split()
)


def main(args):
    out = _common.start(args)
    vectors = _words.find_or_train(args, out, args.epochs)
    pairs = [p for p in DEFINING if all(w in vectors for w in p)]
    direction = bias_direction([vectors.units[[vectors.key_to_index[w] for w in p]] for p in pairs])
    by_mean = bias_direction([vectors.units[[vectors.key_to_index[w] for w in p]] for p in pairs], "mean")
    print(f"cosine of the directions from SVD and from the mean difference: {abs(direction @ by_mean):.2f}")
    new = debias(vectors, direction, pairs, SPECIFIC)

    words = sorted(
        (w for w in NEUTRAL if w in vectors), key=lambda w: -(vectors.units[vectors.key_to_index[w]] @ direction)
    )
    before = np.array([vectors.units[vectors.key_to_index[w]] @ direction for w in words])
    after = np.array([new.units[new.key_to_index[w]] @ direction for w in words])
    print("  word            towards he (+) or she (-): before, after")
    for word, x, y in zip(words, before, after):
        print(f"  {word:15} {x:+.2f} {y:+.2f}")

    def apart(v):
        """The mean over words of how much nearer one of a pair is, by cosine."""
        return np.mean(
            [abs(v.similarity(a, w) - v.similarity(b, w)) for a, b in pairs for w in words if w not in SPECIFIC]
        )

    if not args.no_plots:
        _draw(words, before, after, out / "bias.png")
    return {"bias_before": np.abs(before).mean(), "gap_before": apart(vectors), "gap_after": apart(new)}


def _draw(words, before, after, path):
    from fastnn.train.plots import PALETTE, new_figure, save_figure

    figure, axes = new_figure(7, 0.3 * len(words) + 1)
    ax, y = axes[0, 0], np.arange(len(words))
    ax.barh(y, before, color=PALETTE[1], label="before")
    ax.plot(after, y, "o", color=PALETTE[0], label="after")
    ax.set(yticks=y, yticklabels=words, xlabel="she  -  part along the direction  -  he")
    ax.legend()
    save_figure(figure, path)


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
