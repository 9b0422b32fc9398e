"""What the recipes with word vectors share: training them on text8, finding those that are there, and judging them."""

from __future__ import annotations

import time

from fastnn.datasets import Text8, analogies, word_pairs
from fastnn.text import KeyedVectors, Word2Vec

FILE = "vectors.bin"
SHOWN = """man woman king queen prince princess father mother son daughter france paris germany berlin italy rome japan
tokyo one two three four five red green blue white black january march may june music art film book car train ship
water river sea mountain""".split()


def train_word2vec(args, epochs: int) -> KeyedVectors:
    """Skip-gram with negative sampling."""
    text = Text8(args.data_dir)
    model = Word2Vec(vector_size=100, window=5, negative=5, sg=True, epochs=epochs, seed=args.seed + 1)
    model.build_vocab(text.sentences)
    begin = time.perf_counter()
    model.train(text.sentences)
    speed = len(text) * epochs / (time.perf_counter() - begin)
    print(f"{len(text):,} words, {len(model.wv):,} different ones that occur 5 times: {speed:,.0f} words a second")
    return model.wv


def find_or_train(args, out, epochs: int) -> KeyedVectors:
    """``vectors.bin`` of word2vec-text8 in --out or beside it, else vectors trained now."""
    for folder in (out, out.parent / "word2vec-text8"):
        if (folder / FILE).is_file():
            print(f"vectors: {folder / FILE}")
            return KeyedVectors.load_word2vec(folder / FILE, binary=True)
    vectors = train_word2vec(args, epochs)
    vectors.save_word2vec(out / FILE, binary=True)
    return vectors


def judge(vectors, data_dir, show_sections: bool = False) -> dict:
    """Analogies that come out right, and agreement with people's scores."""
    sections = vectors.evaluate_analogies(analogies(data_dir))
    if show_sections:
        for name, (right, asked) in sections.items():
            if asked:
                print(f"  {name:30} {right:5} of {asked:5}  {right / asked:6.1%}")
    right, asked = sections["total"]
    agreement, pairs = vectors.evaluate_pairs(word_pairs("ws353", data_dir))
    return {"analogies": right / max(asked, 1), "questions": asked, "ws353": agreement, "pairs": pairs}


def show_neighbours(vectors, words) -> None:
    for word in words:
        if word in vectors:
            near = ", ".join(w for w, _ in vectors.most_similar(word, topn=6))
            print(f"  {word}: {near}")


def draw(vectors, path) -> None:
    """Some words on a plane, by t-SNE."""
    vectors.picture([w for w in SHOWN if w in vectors], path)
