"""The numbers of the course's second week on sequences: embeddings, analogies, word2vec, GloVe, bias."""

import numpy as np
import pytest

import fastnn
import fastnn.nn.functional as F
from fastnn import nn
from fastnn.text import (
    GloVe,
    KeyedVectors,
    alias_table,
    bias_direction,
    cooccurrences,
    cosine_similarity,
    equalize,
    glove_weight,
    huffman_paths,
    neutralize,
)

# Rows: gender, royal, age, food.
WORDS = ["man", "woman", "king", "queen", "apple", "orange"]
FEATURES = np.array(
    [
        [-1, 1, -0.95, 0.97, 0.00, 0.01],
        [0.01, 0.02, 0.93, 0.95, -0.01, 0.00],
        [0.03, 0.02, 0.70, 0.69, 0.03, -0.02],
        [0.09, 0.01, 0.02, 0.01, 0.95, 0.97],
    ]
)
E = dict(zip(WORDS, FEATURES.T))


def test_king_less_man_plus_woman_is_queen():
    np.testing.assert_allclose(E["man"] - E["woman"], [-2, -0.01, 0.01, 0.08], atol=1e-12)
    np.testing.assert_allclose(E["king"] - E["queen"], [-1.92, -0.02, 0.01, 0.01], atol=1e-12)
    target = E["king"] - E["man"] + E["woman"]
    np.testing.assert_allclose(target, [1.05, 0.94, 0.69, -0.06], atol=1e-12)
    want = dict(queen=0.998084, woman=0.688736, king=0.151938, apple=-0.030618, orange=-0.040365, man=-0.649987)
    for word, cosine in want.items():
        assert cosine_similarity(target, E[word]) == pytest.approx(cosine, abs=1e-6)
    assert max(WORDS, key=lambda w: cosine_similarity(target, E[w])) == "queen"
    assert ((target - E["queen"]) ** 2).sum() == pytest.approx(0.0114, abs=1e-4)
    vectors = KeyedVectors(WORDS, FEATURES.T)
    assert vectors.analogy("man", "woman", "king")[0][0] == "queen"


def test_cosine_similarity():
    assert cosine_similarity([1, 0], [3, 0]) == 1
    assert cosine_similarity([1, 0], [0, 2]) == 0
    assert cosine_similarity([1, 0], [-5, 0]) == -1
    for a, b, want in [("apple", "orange", 0.998530), ("king", "orange", -0.002812), ("king", "queen", 0.194539),
                       ("man", "woman", -0.993342)]:  # fmt: skip
        assert cosine_similarity(E[a], E[b]) == pytest.approx(want, abs=1e-6)
        assert KeyedVectors(WORDS, FEATURES.T).similarity(a, b) == pytest.approx(want, abs=1e-6)


def test_lookup_is_a_product_with_a_one_hot_vector():
    """e_6257 = E o_6257: a column of the course's matrix, a row of the table here."""
    table = fastnn.randn(10_001, 300)
    one_hot = F.one_hot(fastnn.tensor([6257]), 10_001).to(fastnn.float32)
    row = F.embedding(fastnn.tensor([6257]), table)
    assert row.shape == (1, 300)
    np.testing.assert_array_equal(row.numpy(), fastnn.matmul(one_hot, table).numpy())


def test_repeated_words_add_their_gradients():
    table = nn.Embedding(10, 3)
    table(fastnn.tensor([2, 5, 2])).sum().backward()
    np.testing.assert_array_equal(table.weight.grad.numpy()[[2, 5, 7]], [[2] * 3, [1] * 3, [0] * 3])


@pytest.mark.parametrize("words, size", [(6, 1800), (4, 1200)])
def test_window_of_words_as_one_vector(words, size):
    """ "I want a glass of orange": six vectors of 300, or the last four."""
    ids = fastnn.tensor([[4343, 9665, 1, 3852, 6163, 6257][-words:]])
    assert nn.Embedding(10_000, 300)(ids).reshape(1, -1).shape == (1, size)


def test_power_three_quarters():
    f = np.array([1000, 100, 10, 1.0])
    np.testing.assert_allclose(f**0.75, [177.827941, 31.622777, 5.623413, 1], atol=1e-6)
    stay, other = alias_table(f**0.75)
    p = stay / 4
    np.add.at(p, other, (1 - stay) / 4)
    np.testing.assert_allclose(p, [0.822995, 0.146352, 0.026025, 0.004628], atol=1e-6)
    np.testing.assert_allclose(f / f.sum(), [0.900090, 0.090009, 0.009001, 0.000900], atol=1e-6)


def test_negative_sampling_touches_k_plus_1_classifiers():
    """K = 4: of all rows of theta, the target's and at most four others change."""
    from test_word2vec import Stream, as_tensor

    v, d, k = 100, 16, 4
    rng = np.random.default_rng(0)
    stay, other = alias_table(np.ones(v))
    tables = [rng.normal(size=(v, d)).astype(np.float32) for _ in range(2)]
    into, out = (as_tensor(t) for t in tables)
    limit = (stay * (2.0**32 - 1)).astype(np.uint32)
    fastnn._C._word2vec(into, out, as_tensor(np.array([7, 9], np.int32)), as_tensor(np.array([0, 2])), None,
                        as_tensor(limit), as_tensor(other), None, None, None, window=1, negative=k, batch=0, cbow=True,
                        mean=True, shrink=False, track=False, seed=3, first=0, alpha=0.1, slope=0.0)  # fmt: skip
    changed = {int(i) for i in np.flatnonzero((out.numpy() != tables[1]).any(1))}
    want = set()
    for token, word in ((0, 7), (1, 9)):
        s = Stream(3, token)
        s.next(), s.next()
        want |= {word} | {(s.next() >> 32) * v >> 32 for _ in range(k)}
    assert changed == want
    assert len(changed) <= 2 * (k + 1)


def test_hierarchical_softmax_sums_to_one():
    """Products of the branches' probabilities over all words: about log2 V factors each."""
    rng = np.random.default_rng(0)
    starts, nodes, bits = huffman_paths(rng.integers(1, 100, 50))
    theta, h = rng.normal(size=(49, 8)), rng.normal(size=8)
    p = 1 / (1 + np.exp(-(1 - 2 * bits) * (theta[nodes] @ h)))
    total = sum(np.prod(p[a:b]) for a, b in zip(starts, starts[1:]))
    assert total == pytest.approx(1)


def test_cooccurrence_is_symmetric_for_a_window():
    text = "the cat sat on the mat the cat ran".split()
    words = sorted(set(text))
    ids = [words.index(w) for w in text]
    dense = []
    for symmetric in (True, False):
        i, j, x = cooccurrences(ids, [0, len(ids)], len(words), 2, symmetric, by_distance=False)
        dense.append(np.zeros((len(words), len(words))))
        dense[-1][i, j] = x
    both, left = dense
    np.testing.assert_array_equal(both, both.T)
    np.testing.assert_array_equal(both, left + left.T)
    assert not np.array_equal(left, left.T)
    assert both[words.index("the"), words.index("cat")] == 2


def test_glove_weights():
    np.testing.assert_allclose(
        glove_weight([0, 1, 10, 50, 100, 1000]), [0, 0.031623, 0.177828, 0.594604, 1, 1], atol=1e-6
    )


def test_glove_vectors_are_the_mean_of_both():
    model = GloVe([["a", "b", "c", "a"]] * 5, vector_size=4, min_count=1, epochs=2)
    np.testing.assert_allclose(model.wv.vectors, (model.theta + model.e) / 2, rtol=1e-6)


def test_axes_are_arbitrary_but_parallelograms_stay():
    """(A theta).(A^-T e) = theta.e for every invertible A; differences are mapped alike."""
    rng = np.random.default_rng(0)
    a, theta, e = rng.normal(size=(5, 5)), rng.normal(size=5), rng.normal(size=(4, 5))
    other = e @ np.linalg.inv(a)  # rows A^-T e
    np.testing.assert_allclose(other @ (a @ theta), e @ theta, rtol=1e-9)
    e[3] = e[2] - e[0] + e[1]
    moved = e @ np.linalg.inv(a)
    np.testing.assert_allclose(moved[3], moved[2] - moved[0] + moved[1], atol=1e-9)


def test_mean_of_vectors_ignores_order():
    """ "Completely lacking in good taste, good service": the mean cannot tell what lacks."""
    table = fastnn.randn(20, 8)
    a, b = ([3, 7, 9, 7], [7, 9, 7, 3])
    np.testing.assert_allclose(*(F.embedding_bag(fastnn.tensor([x]), table).numpy() for x in (a, b)), rtol=1e-6)


def test_neutralize():
    np.testing.assert_allclose(neutralize([0.3, 0.5, 0.2], [1, 0, 0]), [0, 0.5, 0.2])
    np.testing.assert_allclose(neutralize([0.3, 0.5, 0.2], [4, 0, 0]), [0, 0.5, 0.2])  # g need not have length 1
    e, g = np.random.default_rng(0).normal(size=(2, 9))
    assert neutralize(e, g) @ g == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(neutralize(e, g), e - (e @ g) / (g @ g) * g)


def test_equalize():
    """The corrected formulas: both at .773305 from the neutral word, where they were .676757 and .859069 away."""
    a, b, babysitter = np.array([0.6, 0.64, 0.48]), np.array([-0.8, 0.36, 0.48]), np.array([0, 0.5, 0.2])

    def apart(x):
        return np.sqrt(((x - babysitter) ** 2).sum())

    assert [apart(a), apart(b)] == pytest.approx([0.676757, 0.859069], abs=1e-6)
    new = equalize(a, b, [2, 0, 0])
    np.testing.assert_allclose(new, [[0.720833, 0.5, 0.48], [-0.720833, 0.5, 0.48]], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(new, axis=1), 1)
    assert [apart(x) for x in new] == pytest.approx([0.773305] * 2, abs=1e-6)


def test_equalized_pairs_are_as_far_from_every_neutral_word():
    rng = np.random.default_rng(1)
    a, b, g = rng.normal(size=(3, 50))
    a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
    x, y = equalize(a, b, g)
    neutral = neutralize(rng.normal(size=(20, 50)), g)
    np.testing.assert_allclose(np.linalg.norm(neutral - x, axis=1), np.linalg.norm(neutral - y, axis=1))
    assert x @ g == pytest.approx(-(y @ g))


def test_bias_direction():
    """One direction in which pairs differ, from the mean of the differences or by SVD."""
    rng = np.random.default_rng(0)
    g = np.array([0.6, 0.8, 0, 0, 0])
    middle, size = rng.normal(size=(6, 5)), rng.random(6)[:, None] + 0.5
    pairs = np.stack([middle + size * g, middle - size * g], 1)
    for method in ("mean", "svd"):
        np.testing.assert_allclose(bias_direction(pairs, method), g, atol=1e-12)
    noisy = pairs + 0.05 * rng.normal(size=pairs.shape)
    assert abs(bias_direction(noisy, "svd") @ bias_direction(noisy, "mean")) > 0.99
    plane = bias_direction(noisy, "svd", 2)
    np.testing.assert_allclose(plane @ plane.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(neutralize(noisy[0], plane) @ plane.T, 0, atol=1e-12)
