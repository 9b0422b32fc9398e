"""KeyedVectors: neighbours, analogies, agreement with people, files whole and damaged, debiasing of a table."""

import gzip

import numpy as np
import pytest

from fastnn.text import (
    KeyedVectors,
    bias_direction,
    cosine_similarity,
    debias,
    equalize,
    load_analogies,
    load_pairs,
    neutralize,
    spearman,
)


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return KeyedVectors([f"w{i}" for i in range(50)] + ["Ärger"], rng.normal(size=(51, 7)))


def test_most_similar_is_a_full_search(vectors):
    x = vectors.vectors.astype(np.float64)
    x /= np.linalg.norm(x, axis=1)[:, None]
    target = x[1] + x[2] - x[3]
    scores = x @ target / np.linalg.norm(target)
    scores[[1, 2, 3]] = -9
    want = np.argsort(-scores)[:4]
    got = vectors.most_similar(["w1", "w2"], ["w3"], topn=4)
    assert [w for w, _ in got] == [vectors.index_to_key[i] for i in want]
    np.testing.assert_allclose([s for _, s in got], scores[want], atol=1e-6)
    assert len(vectors.most_similar("w1", topn=1000)) == 50
    assert all(int(w[1:]) < 10 for w, _ in vectors.most_similar("w1", restrict_vocab=10))
    assert vectors.most_similar(vectors["w4"])[0][0] == "w4"  # a vector excludes nothing
    assert vectors.similarity("w1", "w2") == pytest.approx(cosine_similarity(vectors["w1"], vectors["w2"]), abs=1e-6)
    assert vectors.distance("w1", "w1") == pytest.approx(0, abs=1e-6)
    assert vectors[["w1", "w2"]].shape == (2, 7)


def test_analogies_as_one_by_one(vectors, tmp_path):
    rng = np.random.default_rng(1)
    words = vectors.index_to_key
    asked = [tuple(words[i] for i in rng.choice(51, 4, replace=False)) for _ in range(30)]
    asked = [(a, b, c, vectors.analogy(a, b, c)[0][0] if k % 3 == 0 else d) for k, (a, b, c, d) in enumerate(asked)]
    path = tmp_path / "questions.txt"
    lines = [
        ": one",
        *(" ".join(q).upper() for q in asked[:10]),
        ": two",
        *(" ".join(q) for q in asked[10:]),
        "w1 w2 w3 no",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    right = [vectors.analogy(a, b, c)[0][0] == d for a, b, c, d in asked]
    got = vectors.evaluate_analogies(path)
    assert got == {"one": (sum(right[:10]), 10), "two": (sum(right[10:]), 20), "total": (sum(right), 30)}
    assert vectors.evaluate_analogies(load_analogies(path), restrict_vocab=0)["total"] == (0, 0)


def test_pairs_and_rank_correlation(vectors, tmp_path):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 40), rng.normal(size=40)
    assert spearman(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)
    assert np.isnan(spearman([1, 1], [1, 2])) and np.isnan(spearman([], []))
    path = tmp_path / "pairs.txt"
    path.write_text("# remark\nw1\tw2\t3.5\nW3\tw4\t1\nw5 no 2\nw5 w6 9\n")
    ours = [vectors.similarity("w1", "w2"), vectors.similarity("w3", "w4"), vectors.similarity("w5", "w6")]
    assert vectors.evaluate_pairs(path) == (pytest.approx(spearman(ours, [3.5, 1, 9])), 3)
    assert vectors.evaluate_pairs(load_pairs(path))[1] == 3


@pytest.mark.parametrize("binary", [False, True])
def test_word2vec_files(vectors, tmp_path, binary):
    """Written and read to the same bits, by gensim as well."""
    path = tmp_path / "vectors"
    vectors.save_word2vec(path, binary=binary)
    back = KeyedVectors.load_word2vec(path, binary=binary)
    assert back.index_to_key == vectors.index_to_key
    np.testing.assert_array_equal(back.vectors, vectors.vectors)
    assert len(KeyedVectors.load_word2vec(path, binary=binary, limit=3)) == 3
    (tmp_path / "vectors.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert KeyedVectors.load_word2vec(tmp_path / "vectors.gz", binary=binary).index_to_key == vectors.index_to_key
    gensim = pytest.importorskip("gensim.models")
    theirs = gensim.KeyedVectors.load_word2vec_format(path, binary=binary)
    np.testing.assert_array_equal(theirs.vectors, vectors.vectors)
    theirs.save_word2vec_format(tmp_path / "theirs", binary=binary)
    back = KeyedVectors.load_word2vec(tmp_path / "theirs", binary=binary)
    assert back.index_to_key == vectors.index_to_key
    np.testing.assert_array_equal(back.vectors, vectors.vectors)


def test_large_binary_file(tmp_path):
    """Rows and words that cross the parts in which the file is read."""
    rng = np.random.default_rng(0)
    big = KeyedVectors([f"word{i}" * (1 + i % 5) for i in range(7000)], rng.normal(size=(7000, 100)))
    big.save_word2vec(tmp_path / "v", binary=True)
    back = KeyedVectors.load_word2vec(tmp_path / "v", binary=True)
    assert back.index_to_key == big.index_to_key
    np.testing.assert_array_equal(back.vectors, big.vectors)


def test_glove_files(vectors, tmp_path):
    vectors.save_glove(tmp_path / "v.txt")
    back = KeyedVectors.load_glove(tmp_path / "v.txt")
    assert back.index_to_key == vectors.index_to_key
    np.testing.assert_array_equal(back.vectors, vectors.vectors)
    assert len(KeyedVectors.load_glove(tmp_path / "v.txt", limit=5)) == 5


TEXT = {
    "empty": b"",
    "one number": b"3\n",
    "no numbers": b"a b\n",
    "negative": b"-3 2\n",
    "no columns": b"1 0\na\n",
    "float sizes": b"1.5 2\n",
    "cut off": b"3 2\na 1 2\nb 1 2\n",
    "cut off in a row": b"2 2\na 1 2\nb 1",
    "too many words": b"1 2\na 1 2\nb 1 2\n",
    "too many numbers": b"1 2\na 1 2 3\n",
    "letters": b"1 2\na 1 x\n",
    "blank line": b"2 2\na 1 2\n\nb 1 2\n",
    "twice": b"2 2\na 1 2\na 1 2\n",
    "not UTF-8": b"1 2\n\xff\xfe 1 2\n",
    "huge header": b"9" * 5000,
    "huge numbers": b"9999999999999999 99999999999999\na 1\n",
}
BINARY = {
    "empty": b"",
    "no header": b"a \0\0\0\0",
    "cut off": b"2 2\na " + bytes(8) + b"\nb " + bytes(7),
    "nothing": b"2 2\n",
    "no blank": b"1 2\n" + b"x" * 20_000,
    "empty word": b"1 2\n " + bytes(8),
    "not UTF-8": b"1 2\n\xff\xff " + bytes(8),
    "twice": b"2 1\na " + bytes(4) + b"a " + bytes(4),
    "huge numbers": b"999999999999 999999999999\na " + bytes(100),
    "text": b"2 3\na 1 2 3\nb 1 2 3\n",
}


@pytest.mark.parametrize("name", TEXT)
def test_damaged_text(name, tmp_path):
    path = tmp_path / "v"
    path.write_bytes(TEXT[name])
    with pytest.raises(ValueError, match="v: "):
        KeyedVectors.load_word2vec(path)


@pytest.mark.parametrize("name", BINARY)
def test_damaged_binary(name, tmp_path):
    path = tmp_path / "v"
    path.write_bytes(BINARY[name])
    with pytest.raises(ValueError, match="v: "):
        KeyedVectors.load_word2vec(path, binary=True)


@pytest.mark.parametrize("content", [b"", b"a\n", b"a 1 2\nb 1\n", b"a 1\na 2\n", b"a x\n", b"a 1\n\nb 2\n"])
def test_damaged_glove(content, tmp_path):
    path = tmp_path / "v"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="v: "):
        KeyedVectors.load_glove(path)


@pytest.mark.parametrize("content", [b"a b c d\n", b": s\na b c\n", b": s\na b c d e\n", b": s\n\xff a b c\n"])
def test_damaged_questions(content, tmp_path):
    path = tmp_path / "v"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="line"):
        load_analogies(path)


@pytest.mark.parametrize("content", [b"a b\n", b"a b c\n", b"a\n"])
def test_damaged_pairs(content, tmp_path):
    path = tmp_path / "v"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="line 1"):
        load_pairs(path)


def test_words_that_no_file_can_hold(tmp_path):
    path = tmp_path / "v"
    path.write_text("before")
    for word in ("new york", "", "a\n", "tab\tbed"):
        for save in ("save_word2vec", "save_glove"):
            with pytest.raises(ValueError, match="blanks"):
                getattr(KeyedVectors([word], [[1.0]]), save)(path)
    assert path.read_text() == "before"


def test_malformed_calls(vectors):
    for keys, table in ((["a"], [[1], [2]]), (["a", "a"], [[1], [2]]), (["a"], [1]), (["a"], [[[1]]])):
        with pytest.raises(ValueError):
            KeyedVectors(keys, table)
    with pytest.raises(ValueError):
        KeyedVectors(["a"], [[1]], counts=[1, 2])
    with pytest.raises(KeyError, match="nobody"):
        vectors["nobody"]
    with pytest.raises(KeyError, match="nobody"):
        vectors.most_similar("nobody")
    with pytest.raises(ValueError, match="at least one"):
        vectors.most_similar()
    with pytest.raises(ValueError, match="topn"):
        vectors.most_similar("w1", topn=-1)
    with pytest.raises(ValueError, match="shape"):
        vectors.most_similar(np.zeros(3))
    for u, v in (([1, 2], [1]), ([0, 0], [1, 1]), ([[1]], [[1]])):
        with pytest.raises(ValueError):
            cosine_similarity(u, v)
    with pytest.raises(ValueError):
        spearman([1, 2], [1])
    with pytest.raises(ValueError):
        spearman([[1]], [[1]])
    for words, method in ((["w1", "w2"], "pca"), (["w1", "w2", "w3"], "magic")):
        with pytest.raises(ValueError):
            vectors.picture(words, "nowhere.png", method)
    zeros = KeyedVectors(["a", "b"], np.zeros((2, 3)))
    assert zeros.most_similar("a") == [("b", 0.0)]


def test_malformed_debiasing():
    for pairs in (np.zeros((0, 2, 3)), np.zeros((2, 3)), np.zeros((2, 3, 3))):
        with pytest.raises(ValueError, match="n, 2, D"):
            bias_direction(pairs)
    same = np.ones((3, 2, 4))
    for method in ("mean", "svd"):
        with pytest.raises(ValueError):
            bias_direction(same, method)
    with pytest.raises(ValueError, match="directions"):
        bias_direction([[[1, 0], [0, 0]]], dimensions=2)
    with pytest.raises(ValueError, match="method"):
        bias_direction(same, "guess")
    for e, g in (([1, 2], [0, 0]), ([1, 2], [1, 2, 3]), (1.0, [1]), ([1, 2], [[1, 0], [2, 0]]), ([1, 2], [np.nan, 1])):
        with pytest.raises(ValueError):
            neutralize(e, g)
    for a, b, g in (([0, 1], [0, 1], [1, 0]), ([1, 1, 1], [1, 1], [1, 0]), ([0.1, 9], [-0.1, 9], [1, 0])):
        with pytest.raises(ValueError, match="equalize"):
            equalize(a, b, g)


def test_debias_a_table():
    rng = np.random.default_rng(0)
    words = ["he", "she", "king", "queen", "doctor", "nurse", "beard"]
    vectors = KeyedVectors(words, rng.normal(size=(7, 12)))
    g = bias_direction([vectors[["he", "she"]]])
    new = debias(vectors, g, [("he", "she"), ("king", "queen")], ["beard", "unknown"])
    np.testing.assert_allclose(np.linalg.norm(new.vectors, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(new[["doctor", "nurse"]] @ g, 0, atol=1e-6)
    np.testing.assert_allclose(new["beard"], vectors.units[6], rtol=1e-6)
    for a, b in (("he", "she"), ("king", "queen")):
        assert new.similarity(a, "doctor") == pytest.approx(new.similarity(b, "doctor"), abs=1e-6)
        assert new[a] @ g == pytest.approx(-(new[b] @ g), abs=1e-6)


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_picture(vectors, tmp_path, method):
    pytest.importorskip("matplotlib")
    if method == "tsne":
        pytest.importorskip("sklearn")
    xy = vectors.picture([f"w{i}" for i in range(12)], tmp_path / "words.png", method)
    assert xy.shape == (12, 2) and (tmp_path / "words.png").read_bytes().startswith(b"\x89PNG")
