"""Vectors of words: words per second and quality of fastnn and gensim, same text, settings and threads, in turns.

    PYTHONPATH=python FASTNN_DATA=DATA python bench/word_vectors.py speed
    PYTHONPATH=python FASTNN_DATA=DATA python bench/word_vectors.py quality

Words per second are those of the text times epochs over the seconds of ``train`` (the vocabulary is built before), the
best of the rounds. Every run is a process of its own: gensim's BLAS reads the number of threads when it is loaded.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

CASES = {
    "skip-gram": dict(sg=1, negative=5), "CBOW": dict(sg=0, negative=5),
    "skip-gram, tree": dict(sg=1, hs=1, negative=0),
}  # fmt: skip
COMMON = dict(vector_size=100, window=5, min_count=5, sample=1e-3, seed=1)


def run(library: str, case: str, threads: int, epochs: int, words: int, judge: bool) -> dict:
    from fastnn.datasets import Text8, analogies, word_pairs
    from fastnn.text import KeyedVectors

    text = Text8()
    sentences = text.sentences[: words // 1000] if words else text.sentences
    count = sum(map(len, sentences)) * epochs
    options = {**COMMON, **CASES[case], "epochs": epochs}
    if library == "gensim":
        from gensim.models import Word2Vec

        model = Word2Vec(workers=threads, **options)
        model.build_vocab(sentences)
        begin = time.perf_counter()
        model.train(sentences, total_examples=len(sentences), epochs=epochs)
    else:
        import fastnn
        from fastnn.text import Word2Vec

        fastnn.set_num_threads(threads)
        model = Word2Vec(deterministic=library == "fastnn", **options)
        model.build_vocab(sentences)
        begin = time.perf_counter()
        model.train(sentences)
    result = {"words_per_s": count / (time.perf_counter() - begin)}
    if judge:
        vectors = KeyedVectors(model.wv.index_to_key, model.wv.vectors)
        right, asked = vectors.evaluate_analogies(analogies())["total"]
        result.update(analogies=right / asked, questions=asked, ws353=vectors.evaluate_pairs(word_pairs("ws353"))[0],
                      rg65=vectors.evaluate_pairs(word_pairs("rg65"))[0])  # fmt: skip
    return result


def apart(*arguments) -> dict:
    """`run` in a process of its own."""
    threads = str(arguments[2])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "FASTNN_NUM_THREADS": threads}
    code = f"import word_vectors, json; print(json.dumps(word_vectors.run(*{arguments!r})))"
    out = subprocess.run([sys.executable, "-c", code], env=environment, cwd=os.path.dirname(os.path.abspath(__file__)),
                         capture_output=True, text=True, check=True).stdout  # fmt: skip
    return json.loads(out.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["speed", "quality"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0, help="default: 2 for speed, 5 for quality")
    parser.add_argument("--words", type=int, default=0, help="only the first so many words")
    parser.add_argument("--cases", default="", help="names separated by semicolons (default: all)")
    args = parser.parse_args()
    os.environ["PYTHONPATH"] = os.path.abspath("python") + os.pathsep + os.environ.get("PYTHONPATH", "")
    libraries = ["gensim", "fastnn", "fastnn racing"]
    for case in args.cases.split(";") if args.cases else CASES:
        for threads in (1, 2) if args.what == "speed" else (1,):
            best: dict = {}
            for _ in range(args.rounds if args.what == "speed" else 1):
                for library in libraries:
                    epochs = args.epochs or (2 if args.what == "speed" else 5)
                    result = apart(library, case, threads, epochs, args.words, args.what == "quality")
                    if library not in best or result["words_per_s"] > best[library]["words_per_s"]:
                        best[library] = result
            for library, result in best.items():
                ratio = result["words_per_s"] / best["gensim"]["words_per_s"]
                speed = f"{result['words_per_s'] / 1e3:7.0f}k words/s {ratio:5.2f}x"
                rest = "".join(f"  {k} {v:.4g}" for k, v in result.items() if k != "words_per_s")
                print(f"{case:16} {threads} thr  {library:14} {speed}{rest}", flush=True)


if __name__ == "__main__":
    main()
