"""word2vec against loops in NumPy, its tables, and malformed calls."""

import signal
import time

import numpy as np
import pytest
from harness import ISAS

import fastnn
from fastnn import _C
from fastnn.text import Word2Vec, alias_table, huffman_paths, keep_probability

GOLDEN, M1, M2, ALL = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 2**64 - 1


def mix(z):
    z = ((z ^ (z >> 30)) * M1) & ALL
    z = ((z ^ (z >> 27)) * M2) & ALL
    return z ^ (z >> 31)


class Stream:
    """The kernel's draws of one token."""

    def __init__(self, seed, token):
        self.state = mix((seed + GOLDEN * (token + 1)) & ALL)

    def next(self):
        self.state = (self.state + GOLDEN) & ALL
        return mix(self.state)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(into, out, ids, starts, keep=None, limit=None, alias=None, path_start=None, path=None, bit=None, *,
              window, negative, cbow, mean, shrink, seed, first, alpha, slope, batch=1):  # fmt: skip
    """One pass in float64. batch: tokens whose scores are taken before any of their steps is made."""
    into, out, v = into.astype(np.float64), out.astype(np.float64), len(into)
    total = 0.0
    waiting = []

    def flush():
        for words, rows, g, scale, back in waiting:
            h = into[words].sum(0) * scale
            e = np.zeros_like(h)
            for r, rate in zip(rows, g):
                e += rate * out[r]
                out[r] += rate * h
            for word in words:
                into[word] += back * e
        waiting.clear()

    kept = []
    for s in range(len(starts) - 1):
        row = [i for i in range(starts[s], starts[s + 1])
               if keep is None or Stream(seed, first + i).next() & 0xFFFFFFFF <= keep[ids[i]]]  # fmt: skip
        kept += [(i, k, row) for k, i in enumerate(row)]
    rate = alpha  # the test's text is one block
    for number, (i, k, row) in enumerate(kept):
        if number % batch == 0:
            flush()
        s = Stream(seed, first + i)
        s.next()
        draw = s.next()
        reach = window - ((draw >> 32) * window >> 32) if shrink else window
        near = [ids[row[j]] for j in range(max(0, k - reach), min(len(row), k + reach + 1)) if j != k]
        groups = ([near] if near else []) if cbow else [[n] for n in near]
        for words in groups:
            word, rows, label = ids[i], [], []
            if path_start is not None:
                for a in range(path_start[word], path_start[word + 1]):
                    rows.append(path[a])
                    label.append(1 - bit[a])
            if negative:
                rows.append(word)
                label.append(1)
                for _ in range(negative):
                    draw = s.next()
                    column = (draw >> 32) * v >> 32
                    t = column if draw & 0xFFFFFFFF <= limit[column] else alias[column]
                    if t != word:
                        rows.append(t)
                        label.append(0)
            elif path_start is None:
                rows, label = list(range(v)), [int(r == word) for r in range(v)]
            scale = 1 / len(words) if cbow and mean else 1.0
            back = 1 / len(words) if cbow and not mean else 1.0
            f, label = out[rows] @ (into[words].sum(0) * scale), np.array(label)
            if negative == 0 and path_start is None:
                p = np.exp(f - f.max()) / np.exp(f - f.max()).sum()
                total -= np.log(p[word])
            else:
                p = sigmoid(f)
                total -= np.log(np.where(label == 1, p, 1 - p)).sum()
            waiting.append((words, rows, rate * (label - p), scale, back))
            if batch == 1:
                flush()
    flush()
    return into, out, total


def problem(rng, v=30, d=32, n=400, hs=False, negative=5, sub=False):
    counts = np.arange(v, 0, -1.0) ** 2
    ids = rng.choice(v, n, p=counts / counts.sum()).astype(np.int32)
    starts = np.array([0, 0, 1, 90, 90, 250, n], np.int64)
    into = rng.normal(size=(v, d)).astype(np.float32) * 0.3
    out = rng.normal(size=(2 * v - 1 if hs else v, d)).astype(np.float32) * 0.3
    keep = limit = alias = None
    path_start = path = bit = None
    if sub:
        keep = (keep_probability(counts, 0.05) * (2.0**32 - 1)).astype(np.uint32)
    if negative:
        stay, alias = alias_table(counts**0.75)
        limit = (stay * (2.0**32 - 1)).astype(np.uint32)
    if hs:
        path_start, path, bit = huffman_paths(counts)
        path = path + np.int32(v)
    return into, out, ids, starts, keep, limit, alias, path_start, path, bit


def as_tensor(x):
    if x is None:
        return None
    return _C.from_numpy((x.view(np.int32) if x.dtype == np.uint32 else x).copy())


OPTIONS = dict(window=4, shrink=True, seed=7, first=1000, alpha=0.025, slope=0.0)
KINDS = [
    dict(cbow=False, mean=True, negative=5),
    dict(cbow=True, mean=True, negative=5),
    dict(cbow=True, mean=False, negative=3),
    dict(cbow=False, mean=True, negative=0, hs=True),
    dict(cbow=True, mean=True, negative=0, hs=True),
    dict(cbow=False, mean=True, negative=2, hs=True, sub=True),
    dict(cbow=False, mean=True, negative=12, sub=True, shrink=False),
    dict(cbow=False, mean=True, negative=0),  # full softmax
    dict(cbow=True, mean=True, negative=0, sub=True),
]


@pytest.mark.kernels
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("racing", [True, False])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_kernel_against_loops(kind, racing, isa):
    """Every variant, step by step (racing with one thread) and in order, against float64 loops."""
    options = {**OPTIONS, **kind}
    hs, sub = options.pop("hs", False), options.pop("sub", False)
    args = problem(np.random.default_rng(0), hs=hs, sub=sub, negative=options["negative"])
    want = reference(*args, **options, batch=1 if racing else 16)
    tensors = [as_tensor(a) for a in args]
    fastnn.set_num_threads(1)
    fastnn.set_isa(isa)
    loss = _C._word2vec(*tensors, **options, batch=0 if racing else 16, track=True)
    np.testing.assert_allclose(tensors[0].numpy(), want[0], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(tensors[1].numpy(), want[1], rtol=2e-4, atol=2e-5)
    assert loss == pytest.approx(want[2], rel=1e-4)


SENTENCES = [["the", "king", "rules"], [], ["the", "queen", "rules"], ["a", "man", "and", "a", "woman"], ["the"]] * 40


def bits(model):
    return model.wv.vectors.tobytes() + model.output_vectors.tobytes()


@pytest.mark.parametrize("options", [dict(sg=True), dict(), dict(hs=True, negative=0), dict(sg=True, negative=0)])
def test_same_bits_on_any_number_of_threads(options):
    rng = np.random.default_rng(0)
    text = [[f"w{i}" for i in rng.zipf(1.4, 700) if i < 200] for _ in range(8)]
    found = set()
    for n in (1, 2, 3):
        fastnn.set_num_threads(n)
        found.add(bits(Word2Vec(text, vector_size=40, min_count=1, epochs=2, **options)))
    assert len(found) == 1


def test_racing_threads_learn_the_same_words():
    """Two kinds of words that never meet end apart, in either order of work."""
    rng = np.random.default_rng(0)
    text = [[f"{kind}{i}" for i in rng.integers(0, 10, 20)] for kind in "ab" * 150]
    for deterministic in (True, False):
        wv = Word2Vec(text, vector_size=20, min_count=1, sg=True, epochs=5, sample=0, deterministic=deterministic).wv
        near = np.mean([wv.similarity("a0", f"a{i}") for i in range(1, 10)])
        far = np.mean([wv.similarity("a0", f"b{i}") for i in range(10)])
        assert near > far + 0.5


@pytest.mark.parametrize("options", [
    dict(sg=True, negative=10, sample=1e-3), dict(sg=True, alpha=0.1), dict(alpha=0.1),
    dict(cbow_mean=False), dict(sg=True, hs=True, negative=0), dict(negative=0, alpha=0.1),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("words", [20, 2000])
def test_steps_of_a_batch_do_not_overshoot(words, options):
    """The deterministic order ends where step after step does, also after many passes and at high rates."""
    rng = np.random.default_rng(0)
    text = [[f"w{i}" for i in rng.zipf(1.3, 600) if i <= words] for _ in range(10)]
    fastnn.set_num_threads(1)
    loss = []
    for deterministic in (True, False):
        model = Word2Vec(text, vector_size=32, min_count=1, epochs=20 if options.get("negative", 5) else 2,
                         compute_loss=True, deterministic=deterministic, **{"sample": 0, **options})  # fmt: skip
        assert np.isfinite(model.wv.vectors).all()
        loss.append(model.losses[-1])
    assert loss[0] == pytest.approx(loss[1], rel=0.05)


@pytest.mark.parametrize("options", [dict(sg=True), dict(), dict(hs=True, negative=0, sg=True), dict(negative=0)])
def test_loss_falls(options):
    model = Word2Vec(
        SENTENCES, vector_size=16, min_count=1, epochs=8, sample=0, compute_loss=True, alpha=0.05, **options
    )
    assert len(model.losses) == 8
    assert model.losses[-1] < 0.95 * model.losses[0]


def test_training_goes_on():
    """Two calls of one epoch with the rates of the halves are one call of two."""
    whole = Word2Vec(vector_size=24, min_count=1, epochs=2)
    parts = Word2Vec(vector_size=24, min_count=1, epochs=2)
    for model in (whole, parts):
        model.build_vocab(SENTENCES)
    whole.train(SENTENCES, start_alpha=0.04, end_alpha=0.02)
    parts.train(SENTENCES, epochs=1, start_alpha=0.04, end_alpha=0.03)
    parts.train(SENTENCES, epochs=1, start_alpha=0.03, end_alpha=0.02)
    np.testing.assert_allclose(whole.wv.vectors, parts.wv.vectors, atol=1e-6)


def test_alias_table_draws_what_was_asked_for():
    rng = np.random.default_rng(0)
    weights = rng.random(37) ** 4
    weights[3] = 0
    stay, other = alias_table(weights)
    p = stay / len(weights)
    np.add.at(p, other, (1 - stay) / len(weights))
    np.testing.assert_allclose(p, weights / weights.sum(), atol=1e-12)
    for bad in ([], [0, 0], [1, -1], [np.nan], [[1]]):
        with pytest.raises(ValueError):
            alias_table(bad)


def test_huffman_paths_are_a_code():
    """No word's code begins another's; the mean length is within a bit of the entropy; frequent words are near."""
    counts = np.random.default_rng(0).integers(1, 1000, 100)
    starts, nodes, bits = huffman_paths(counts)
    codes = ["".join(map(str, bits[a:b])) for a, b in zip(starts, starts[1:])]
    assert not any(x != y and y.startswith(x) for x in codes for y in codes)
    p = counts / counts.sum()
    length = sum(p * [len(c) for c in codes])
    entropy = -(p * np.log2(p)).sum()
    assert entropy <= length <= entropy + 1
    assert len(codes[counts.argmax()]) <= len(codes[counts.argmin()])
    assert nodes.min() == 0 and nodes.max() == 98
    assert [a.tolist() for a in huffman_paths([5])] == [[0, 0], [], []]


def test_subsampling_keeps_rare_words():
    p = keep_probability([900_000, 99_990, 10], 1e-3)
    assert p[2] == 1.0
    assert p[0] == pytest.approx(np.sqrt(1e-3 / 0.9) + 1e-3 / 0.9)
    assert p[0] < p[1] < p[2]


BAD = {
    "vector_size": [0, -1, 2.5], "window": [0, -3], "negative": [-1], "epochs": [0], "min_count": [-1],
    "alpha": [-1, float("nan"), float("inf")], "sample": [-1], "seed": [-1], "ns_exponent": [float("nan")],
}  # fmt: skip


@pytest.mark.parametrize("name, value", [(k, v) for k, values in BAD.items() for v in values])
def test_bad_options(name, value):
    with pytest.raises(ValueError, match=name):
        Word2Vec(**{name: value})


def test_bad_text():
    with pytest.raises(TypeError, match="list of words"):
        Word2Vec(["a string"], min_count=1)
    with pytest.raises(TypeError, match="iterator"):
        Word2Vec(iter(SENTENCES))
    with pytest.raises(ValueError, match="no word"):
        Word2Vec([["a"]], min_count=2)
    with pytest.raises(ValueError, match="no word"):
        Word2Vec([])
    with pytest.raises(RuntimeError, match="build_vocab"):
        Word2Vec().train(SENTENCES)
    with pytest.raises(RuntimeError, match="build_vocab"):
        _ = Word2Vec().wv
    one = Word2Vec([["a"], [], ["a", "a"]], min_count=1, vector_size=1, hs=True)
    assert np.isfinite(one.wv.vectors).all()
    one.train([[], ["unknown"]])  # nothing to learn from


def malformed():
    good = dict(zip("in_ out ids starts keep alias_limit alias path_start path bit".split(),
                    problem(np.random.default_rng(0), hs=True, sub=True)))  # fmt: skip
    v, d = good["in_"].shape
    i32, i64, f32 = np.int32, np.int64, np.float32

    def change(name, place, value):
        x = good[name].copy()
        x[place] = value
        return {name: x}

    yield "ids too large", IndexError, change("ids", 5, v)
    yield "ids negative", IndexError, change("ids", 5, -1)
    yield "alias out", IndexError, change("alias", 0, v)
    yield "path into words", IndexError, change("path", 0, v - 1)
    yield "path past the tree", IndexError, change("path", 0, 2 * v - 1)
    yield "bit", IndexError, change("bit", 0, 2)
    yield "starts fall", ValueError, change("starts", 2, 95)
    yield "starts end early", ValueError, change("starts", -1, 300)
    yield "starts end late", ValueError, change("starts", -1, 10**12)
    yield "starts begin late", ValueError, change("starts", 0, 1)
    yield "path_start negative", ValueError, change("path_start", 1, -5)
    yield "no starts", ValueError, {"starts": np.zeros(0, i64)}
    yield "sentence too long", ValueError, {"ids": np.zeros(20000, i32), "starts": np.array([0, 20000], i64)}
    yield "narrow rows", ValueError, {"in_": np.zeros((v, 20), f32), "out": np.zeros((2 * v - 1, 20), f32)}
    yield "no columns", ValueError, {"in_": np.zeros((v, 0), f32), "out": np.zeros((2 * v - 1, 0), f32)}
    yield "no words", ValueError, {"in_": np.zeros((0, d), f32)}
    yield "out too short", ValueError, {"out": np.zeros((v, d), f32)}
    yield "out too wide", ValueError, {"out": np.zeros((2 * v - 1, 2 * d), f32)}
    yield "one axis", ValueError, {"in_": np.zeros(v, f32)}
    yield "keep too short", ValueError, {"keep": np.zeros(v - 1, i32)}
    yield "alias too short", ValueError, {"alias": np.zeros(3, i32)}
    yield "path_start too short", ValueError, {"path_start": np.zeros(v, i64)}
    yield "bit too short", ValueError, {"bit": np.zeros(3, i32)}
    yield "no alias", ValueError, {"alias": None}
    yield "no path", ValueError, {"path": None}
    yield "no bit", ValueError, {"bit": None}
    yield "float64 rows", TypeError, {"in_": np.zeros((v, d))}
    yield "int64 ids", TypeError, {"ids": np.zeros(400, i64)}
    yield "int32 starts", TypeError, {"starts": np.zeros(3, i32)}
    for name, value in [("window", 0), ("window", -1), ("window", 10**6), ("negative", -1), ("negative", 10**9),
                        ("batch", -1), ("alpha", np.nan), ("alpha", np.inf), ("slope", np.nan)]:  # fmt: skip
        yield f"{name}={value}", ValueError, {name: value}


@pytest.mark.parametrize("name, error, change", list(malformed()), ids=[m[0] for m in malformed()])
def test_malformed_calls_of_the_kernel(name, error, change):
    good = dict(zip("in_ out ids starts keep alias_limit alias path_start path bit".split(),
                    problem(np.random.default_rng(0), hs=True, sub=True)))  # fmt: skip
    options = {**OPTIONS, "cbow": False, "mean": True, "negative": 5, "batch": 8, "track": False}
    for key, value in change.items():
        (good if key in good else options)[key] = value
    tensors = {k: as_tensor(x) for k, x in good.items()}
    before = None if tensors["in_"] is None else tensors["in_"].numpy().copy()
    with pytest.raises(error, match="word2vec"):
        _C._word2vec(**tensors, **options)
    np.testing.assert_array_equal(tensors["in_"].numpy(), before)


def test_not_inside_a_captured_step():
    model = Word2Vec(vector_size=8, min_count=1)
    model.build_vocab(SENTENCES)
    with pytest.raises(fastnn.CaptureError, match="word2vec"):
        fastnn.capture(lambda x: model.train(SENTENCES))(fastnn.ones(1))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
@pytest.mark.parametrize("deterministic", [True, False])
def test_training_can_be_interrupted(deterministic):
    """As by Ctrl-C: between two parts, with vectors that are whole."""
    rng = np.random.default_rng(0)
    text = [[f"w{i}" for i in rng.zipf(1.3, 1000) if i < 5000] for _ in range(50)]
    model = Word2Vec(vector_size=100, min_count=1, sg=True, epochs=100_000, deterministic=deterministic)
    model.build_vocab(text)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    begin = time.monotonic()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(KeyboardInterrupt):
            model.train(text)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - begin < 20
    assert np.isfinite(model.wv.vectors).all()
