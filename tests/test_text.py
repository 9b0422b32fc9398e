"""fastnn.text: tokenisers, vocabularies, batches, what models write and how probable they find it."""

import itertools
import math

import numpy as np
import pytest

import fastnn
from fastnn import nn
from fastnn.data import DataLoader
from fastnn.text import (
    BucketSampler,
    Carried,
    CharTokenizer,
    EncoderDecoder,
    LanguageModel,
    LetterNgrams,
    OneToMany,
    Perplexity,
    SequenceClassifier,
    SequenceTagger,
    StreamLoader,
    Vocabulary,
    WindowLanguageModel,
    WordTokenizer,
    choose,
    generate,
    next_probabilities,
    pad_batch,
    pad_sequences,
    perplexity,
    sequence_log_prob,
    windows,
)


def ids(*shape, high=7, seed=0):
    return fastnn.tensor(np.random.default_rng(seed).integers(0, high, shape))


# --- tokens -------------------------------------------------------------------------------------------------------


def test_words():
    text = "“Don't stop” — the well-made <unk>, said Zoë (42)!"
    assert WordTokenizer()(text) == [
        "“", "don't", "stop", "”", "—", "the", "well-made", "<unk>", ",", "said", "zoë", "(", "42", ")", "!",
    ]  # fmt: skip
    assert WordTokenizer(punctuation="drop")(text) == "don't stop the well-made <unk> said zoë 42".split()
    assert WordTokenizer(lower=False, punctuation="keep")("A  b,\nC") == ["A", "b,", "C"]
    assert WordTokenizer().join(["well", ",", "(", "yes", ")", "."]) == "well, (yes)."
    assert WordTokenizer()("") == []


def test_characters():
    assert CharTokenizer()("Cat é\n") == ["C", "a", "t", " ", "é", "\n"]
    assert CharTokenizer(lower=True).join(CharTokenizer(lower=True)("Cat")) == "cat"


def test_letter_ngrams():
    exact = LetterNgrams(3)
    assert exact("apple") == ["app", "ppl", "ple"] and exact.size == 26**3
    assert exact.ids("aab") == [1] and exact.ids("zzz") == [26**3 - 1] and exact.ids("a1b") == []
    assert exact.vector("banana")[exact.ids("ana")[0]] == 2
    hashed = LetterNgrams(3, buckets=1000, boundary="#")
    assert hashed("Apple") == ["#ap", "app", "ppl", "ple", "le#"]
    assert hashed.vector("apple").sum() == 5 and hashed.ids("apple") == hashed.ids("APPLE")
    shared = set(hashed.ids("running")) & set(hashed.ids("runing"))
    assert len(shared) >= 4  # a slip of the pen keeps most of them
    assert LetterNgrams(1, buckets=1 << 40).ids("a") == [0xAF63DC4C8601EC8C % (1 << 40)]  # FNV-1a, published value


# --- vocabulary ---------------------------------------------------------------------------------------------------


def test_vocabulary():
    v = Vocabulary.build([["b", "a", "b"], ["c", "b", "a", "d"]], min_count=2)
    assert v.tokens == ["<pad>", "<unk>", "<bos>", "<eos>", "b", "a"] and v.counts == [0, 0, 0, 0, 3, 2]
    assert (v.pad, v.unk, v.bos, v.eos) == (0, 1, 2, 3) and "a" in v and "c" not in v
    assert v.encode(["a", "zebra", "b"], bos=True, eos=True).tolist() == [2, 5, 1, 4, 3]
    assert v.decode([2, 5, 1, 4, 3, 0]) == ["a", "<unk>", "b"]
    assert v.decode([2, 5], special=True) == ["<bos>", "a"]
    assert Vocabulary.build([list("hello")], max_size=6).tokens[4:] == ["l", "e"]
    plain = Vocabulary.build(["b a".split()], unk=None, pad=None, bos=None, eos=None, order="token")
    assert plain.tokens == ["a", "b"] and plain["b"] == 1
    with pytest.raises(KeyError, match="no token 'x'"):
        plain.encode(["a", "x"])
    # a corpus that has its own mark for rare words
    assert Vocabulary.build([["<unk>", "a", "<unk>"]], pad=None, bos=None, eos=None).counts == [2, 1]


def test_vocabulary_is_saved_and_loaded(tmp_path):
    v = Vocabulary.build([list('naïve\n\t"x"')], bos=None)
    v.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json") == v
    text = (tmp_path / "v.json").read_text(encoding="utf-8")
    for damaged in (
        text[:-5],
        "[]",
        "{}",
        text.replace("<unk>", "<x>", 1),
        text.replace('"version": 1', '"version": 9'),
    ):
        (tmp_path / "bad.json").write_text(damaged, encoding="utf-8")
        with pytest.raises(ValueError, match="not a vocabulary"):
            Vocabulary.load(tmp_path / "bad.json")


# --- batches ------------------------------------------------------------------------------------------------------


def test_padding():
    x, lengths = pad_sequences([[1, 2, 3], [4], []], value=9)
    assert x.tolist() == [[1, 2, 3], [4, 9, 9], [9, 9, 9]] and lengths.tolist() == [3, 1, 0]
    x, lengths = pad_sequences([[1, 2, 3], [4]], length=2, side="left")
    assert x.tolist() == [[1, 2], [0, 4]] and lengths.tolist() == [2, 1]
    assert pad_sequences([[1, 2, 3]], multiple=8)[0].shape == (1, 8)


def test_padded_batches_of_a_loader():
    items = [([1, 2, 3], 1), ([4], 0), ([5, 6], 1)]
    x, lengths, y = next(iter(DataLoader(items, 3, collate_fn=pad_batch())))
    assert x.shape == (3, 3) and lengths.tolist() == [3, 1, 2] and y.tolist() == [1, 0, 1]
    tagged = [([1, 2, 3], [0, 1, 0]), ([4], [2])]
    x, lengths, y = next(iter(DataLoader(tagged, 2, collate_fn=pad_batch(multiple=4))))
    assert y.tolist() == [[0, 1, 0, -100], [2, -100, -100, -100]]
    assert nn.CrossEntropyLoss().count(y) == 4  # what its mean is over


def test_buckets():
    lengths = np.random.default_rng(0).integers(1, 60, 1003)
    sampler = BucketSampler(lengths, 32, seed=4)
    first = sampler.order(0)
    assert sorted(first) == list(range(1003)) and (first == BucketSampler(lengths, 32, seed=4).order(0)).all()
    assert (first != sampler.order(1)).any()

    def padding(order):
        return sum(lengths[b].max() * len(b) - lengths[b].sum() for b in np.split(order, range(32, 1003, 32)))

    assert padding(first) < 0.15 * padding(np.arange(1003))
    full = first[: 1003 // 32 * 32].reshape(-1, 32)
    assert abs(np.corrcoef(np.arange(len(full)), lengths[full].mean(1))[0, 1]) < 0.5  # batches are shuffled
    loader = DataLoader([([1] * n, 0) for n in lengths], 32, sampler=sampler, collate_fn=pad_batch())
    list(itertools.islice(loader, 3))
    state = loader.state_dict()
    rest = [b[1].tolist() for b in itertools.islice(loader, 3, None)]
    other = DataLoader([([1] * n, 0) for n in lengths], 32, sampler=sampler, collate_fn=pad_batch())
    other.load_state_dict(state)
    assert [b[1].tolist() for b in other] == rest


def test_streams():
    loader = StreamLoader(np.arange(25), 3, 3)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    assert batches[0][0].tolist() == [[0, 1, 2], [8, 9, 10], [16, 17, 18]]
    assert [b[1].tolist() for b in batches] == [[0.0] * 3, [1.0] * 3, [1.0] * 3]
    for x, _, y in batches:
        assert (y.numpy() == x.numpy() + 1).all()
    rows = np.concatenate([x.numpy() for x, _, _ in batches], 1)
    assert (np.diff(rows) == 1).all() and rows.shape == (
        3,
        8,
    )  # each row goes on where it was; the last window is short
    assert len(list(StreamLoader(np.arange(25), 3, 3, drop_last=True))) == 2


def test_streams_begin_elsewhere_in_every_epoch():
    loader = StreamLoader(np.arange(1000), 4, 10, shift=True, seed=1)
    begins = [next(iter(loader))[0][0, 0].item() for loader.epoch in range(8)]
    assert len(set(begins)) > 3 and 0 <= min(begins) and max(begins) < 10
    again = StreamLoader(np.arange(1000), 4, 10, shift=True, seed=1)
    again.set_epoch(5)
    assert next(iter(again))[0][0, 0].item() == begins[5]
    with pytest.raises(ValueError, match="shift"):
        StreamLoader(np.arange(1000), 4, 10, seed=1).load_state_dict(loader.state_dict())


def test_windows_around_a_token():
    context, target = windows(np.arange(8), 2, 1)
    assert context.tolist()[0] == [0, 1, 3] and target.tolist() == [2, 3, 4, 5, 6]
    assert windows(np.arange(5), 4)[0].tolist() == [[0, 1, 2, 3]]


# --- models -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["rnn", "relu", "gru", "lstm"])
@pytest.mark.parametrize("options", [{}, {"embedding_dim": 5}, {"embedding_dim": 6, "tie_weights": True}])
def test_language_model_step_by_step_is_the_whole(cell, options):
    model = LanguageModel(7, 6, num_layers=2, cell=cell, **options).eval()
    x = ids(3, 5)
    whole, end = model(x)
    assert whole.shape == (3, 5, 7)
    state = model.initial_state(3)
    for t in range(5):
        scores, state = model.step(x[:, t], state)
        np.testing.assert_allclose(scores.detach().numpy(), whole[:, t].detach().numpy(), atol=1e-6)
    for a, b in zip(state, end):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), atol=1e-6)


def test_carried_state_is_one_long_sequence():
    model = LanguageModel(7, 6)
    carried = Carried(model, 2)
    x = ids(2, 9)
    whole, _ = model(x)
    keep = fastnn.tensor([0.0, 0.0])
    parts = []
    for part in (x[:, :4], x[:, 4:]):
        parts.append(carried(part, keep))
        keep = fastnn.tensor([1.0, 1.0])
    np.testing.assert_allclose(fastnn.cat(parts, 1).detach().numpy(), whole.detach().numpy(), atol=1e-6)
    parts[1].sum().backward()  # no gradient leads into the window before
    state = carried.state0.clone()
    carried.eval()
    carried(ids(3, 4), fastnn.zeros(3))  # an evaluation with other rows leaves the training's state alone
    assert (carried.state0 == state).all().item() and "state0" in carried.state_dict()
    carried.train()
    with fastnn.no_grad():
        carried.state0.fill_(math.inf)
    assert carried(x, fastnn.tensor([0.0, 0.0])).isfinite().all().item()
    with pytest.raises(ValueError, match="made for batches of 2 rows, got 3"):
        carried(ids(3, 4), fastnn.zeros(3))


def train(path, epochs, stop_after=None, resume=False, threads=2):
    from fastnn.optim import Adam
    from fastnn.train import LambdaCallback, Trainer

    fastnn.set_num_threads(threads)
    fastnn.manual_seed(3)
    text = np.random.default_rng(0).integers(0, 11, 700)
    model = Carried(LanguageModel(11, 24, embedding_dim=8, num_layers=2, dropout=0.2), 4)

    def stop(trainer, logs):
        if trainer.step == stop_after:
            trainer.stop("half way")

    trainer = Trainer(model, nn.CrossEntropyLoss(), Adam(model.parameters(), lr=0.01), clip_norm=0.5, progress=False,
                      checkpoint=path, capture=True, callbacks=[LambdaCallback(on_batch_end=stop)])  # fmt: skip
    loader = StreamLoader(text, 4, 16, shift=True, seed=2)
    history = trainer.fit(loader, StreamLoader(text[:200], 2, 16), epochs=epochs, resume=resume)
    fastnn.set_num_threads(2)
    return {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}, history


def test_resume_in_mid_epoch_with_carried_state(tmp_path):
    whole, history = train(None, 3, threads=1)
    _, half = train(tmp_path / "c.safetensors", 3, stop_after=17)
    assert half.epochs == 1 and half.stopped == "half way"
    resumed, history2 = train(tmp_path / "c.safetensors", 3, resume=True)
    assert all((whole[k] == resumed[k]).all() for k in whole)  # the same bits, on other numbers of threads
    assert history["loss"] == history2["loss"] and history["val_loss"] == history2["val_loss"]


def test_losses_are_means_over_tokens():
    """Batches weigh as much as the tokens that count in them, not as much as their rows."""
    from fastnn.optim import SGD
    from fastnn.train import Trainer

    class Scores(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(fastnn.randn((5, 5)))

        def forward(self, x):
            return self.table[x]

    model = Scores()
    x, y = ids(4, 6, high=5), ids(4, 6, high=5, seed=1)
    y[2:, 1:] = -100
    batches = [(x[:2], y[:2]), (x[2:], y[2:])]
    trainer = Trainer(model, nn.CrossEntropyLoss(), SGD(model.parameters(), lr=1e-9), metrics=[Perplexity()],
                      progress=False)  # fmt: skip
    expected = nn.CrossEntropyLoss()(model(x), y).item()
    scores = trainer.evaluate(batches)
    assert scores["loss"] == pytest.approx(expected, rel=1e-6)
    assert scores["perplexity"] == pytest.approx(perplexity(expected), rel=1e-6)
    assert trainer.fit(batches, epochs=1)["loss"][0] == pytest.approx(expected, rel=1e-5)
    weighted = nn.CrossEntropyLoss(weight=fastnn.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))
    trainer = Trainer(model, weighted, SGD(model.parameters(), lr=1e-9), progress=False)
    assert trainer.evaluate(batches)["loss"] == pytest.approx(weighted(model(x), y).item(), rel=1e-6)


def test_window_model_and_its_sizes():
    model = WindowLanguageModel(50, 4, 30, 20)
    assert model.hidden.weight.shape == (120, 20) and model(ids(3, 4)).shape == (3, 50)
    assert WindowLanguageModel(50, 4, 30, 20, direct=True)(ids(3, 4)).shape == (3, 50)
    out = generate(model, 6, [1, 2, 3, 4], n=2, seed=0)
    window = fastnn.tensor(out[0][None, 2:6])
    again = generate(model, 1, out[0][:6], seed=0, temperature=0)[0]
    assert again[-1] == model(window).argmax(1).item()


def test_log_probability_of_sequences():
    model = LanguageModel(7, 6).eval()
    x = ids(2, 5)
    p = model(fastnn.cat([fastnn.zeros((2, 1), dtype=fastnn.int64), x[:, :-1]], 1))[0].log_softmax(-1).detach().numpy()
    steps = np.take_along_axis(p, x.numpy()[..., None], -1)[..., 0]
    np.testing.assert_allclose(sequence_log_prob(model, x, first=0).numpy(), steps.sum(1), rtol=1e-5)
    short = sequence_log_prob(model, x, fastnn.tensor([3, 5]), first=0).numpy()
    np.testing.assert_allclose(short, [steps[0, :3].sum(), steps[1].sum()], rtol=1e-5)
    # all sequences of two tokens together have probability 1
    pairs = fastnn.tensor(list(itertools.product(range(7), repeat=2)))
    assert sequence_log_prob(model, pairs, first=0).exp().sum().item() == pytest.approx(1, rel=1e-5)


@pytest.mark.parametrize("pool", ["last", "mean", "max", "mean+max"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_many_to_one_does_not_see_the_padding(pool, bidirectional):
    model = SequenceClassifier(9, 5, 6, 3, pool=pool, bidirectional=bidirectional).eval()
    rows = [[1, 2, 3, 4, 5], [6, 7]]
    x, lengths = pad_sequences(rows, value=8)
    scores = model(x, lengths)
    assert scores.shape == (2, 3)
    for row, s in zip(rows, scores.detach().numpy()):
        np.testing.assert_allclose(model(fastnn.tensor([row])).detach().numpy()[0], s, atol=1e-6)


def test_many_to_many_shapes():
    x, lengths = pad_sequences([[1, 2, 3, 4], [5, 6]])
    assert SequenceTagger(9, 5, 6, 3, bidirectional=True, head=[7])(x, lengths).shape == (2, 4, 3)
    assert SequenceTagger(None, 5, 6, 1, cell="gru", num_layers=2)(fastnn.randn((2, 4, 5))).shape == (2, 4, 1)
    translator = EncoderDecoder(9, 11, 5, 6)
    assert translator(x, ids(2, 3), lengths).shape == (2, 3, 11)
    written = generate(translator.decoder, 8, first=1, stop=2, n=2, seed=0, state=translator.encode(x, lengths))
    assert len(written) == 2 and all(len(w) <= 8 and 2 not in w for w in written)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_one_to_many(cell):
    model = OneToMany(3, 7, 6, num_layers=2, cell=cell)
    condition = fastnn.eye(3)
    assert model(condition, ids(3, 4)).shape == (3, 4, 7)
    model(condition, ids(3, 4)).sum().backward()
    assert model.first.weight.grad is not None  # the vector is what the music depends on
    out = generate(model.decoder, 5, first=0, n=3, seed=1, state=model.begin(condition))
    assert [len(o) for o in out] == [5, 5, 5]


# --- sampling -----------------------------------------------------------------------------------------------------


def test_probabilities():
    z = np.log([0.5, 0.25, 0.15, 0.1])
    close = lambda p, q: np.testing.assert_allclose(p, q, atol=1e-12)  # noqa: E731
    close(next_probabilities(z), [0.5, 0.25, 0.15, 0.1])
    close(next_probabilities(z, temperature=0), [1, 0, 0, 0])
    close(next_probabilities(z, temperature=0.5), np.square([0.5, 0.25, 0.15, 0.1]) / 0.345)
    close(next_probabilities(z, top_k=2), [2 / 3, 1 / 3, 0, 0])
    close(next_probabilities(z, top_p=0.5), [1, 0, 0, 0])  # 0.5 is reached by the first alone
    close(next_probabilities(z, top_p=0.51), [2 / 3, 1 / 3, 0, 0])
    close(next_probabilities(z, top_k=3, top_p=0.8), [2 / 3, 1 / 3, 0, 0])
    close(next_probabilities(z, top_p=1.0), [0.5, 0.25, 0.15, 0.1])
    close(next_probabilities(z, avoid=[0]), [0, 0.5, 0.3, 0.2])
    close(next_probabilities([[1.0, 1.0, 1.0]], top_k=2), [[0.5, 0.5, 0]])  # of equals the first stay
    close(next_probabilities([[1000.0, -np.inf, 999.0]], 1e-3), [[1, 0, 0]])


def test_choices_follow_the_probabilities():
    p = np.array([0.0, 0.5, 0.0, 0.3, 0.2, 0.0])
    u = (np.arange(100_000) + 0.5) / 100_000
    counts = np.bincount(choose(np.tile(p, (len(u), 1)), u), minlength=6)
    np.testing.assert_allclose(counts / len(u), p, atol=1e-5)
    assert choose(p, np.float64(np.nextafter(1, 0))) == 4 and choose(p, np.float64(0.0)) == 1


def test_to_avoid_is_to_draw_again():
    """UNK is dropped before the draw, which is the same as to reject it and draw again (the course's way)."""
    rng = np.random.default_rng(0)
    p = np.array([0.4, 0.3, 0.2, 0.1])
    draws = choose(np.tile(p, (200_000, 1)), rng.random(200_000))
    kept = np.bincount(draws[draws != 0], minlength=4) / (draws != 0).sum()
    np.testing.assert_allclose(kept, next_probabilities(np.log(p), avoid=[0]), atol=5e-3)


def test_generation():
    model = LanguageModel(7, 6)
    a, b = generate(model, 20, [1, 2], n=2, seed=5)
    assert a[:2].tolist() == [1, 2] and len(a) == 22 and (a != b).any() and model.training
    assert all((x == y).all() for x, y in zip(generate(model, 20, [1, 2], n=2, seed=5), (a, b)))
    assert (generate(model, 20, [1, 2], seed=6)[0] != a).any()
    fastnn.manual_seed(1)
    c = generate(model, 20, [1, 2])[0]
    fastnn.manual_seed(1)
    assert (generate(model, 20, [1, 2])[0] == c).all()
    x = fastnn.tensor(generate(model, 6, [3], temperature=0)[0][None])
    assert (model(x)[0].argmax(-1)[0, :-1] == x[0, 1:]).all().item()
    assert not any(3 in o for o in generate(model, 200, first=0, avoid=[3], seed=0, n=4))
    stopped = generate(model, 200, first=0, stop=3, seed=0, n=4)
    assert all(3 not in o and len(o) < 200 for o in stopped)
    assert generate(model, 0, [1, 2])[0].tolist() == [1, 2]


# --- what is refused ----------------------------------------------------------------------------------------------

V3 = Vocabulary(["a", "b", "c"])
LM = LanguageModel(7, 6)
REFUSED = [
    (lambda: CharTokenizer()(3), TypeError, "expected a str, got int"),
    (lambda: WordTokenizer(punctuation="x"), ValueError, "split, drop or keep"),
    (lambda: WordTokenizer()(b"a"), TypeError, "got bytes"),
    (lambda: LetterNgrams(0), ValueError, "n >= 1"),
    (lambda: LetterNgrams(3, buckets=0), ValueError, "buckets >= 1"),
    (lambda: LetterNgrams(3, boundary="##"), ValueError, "one character"),
    (lambda: Vocabulary(["a", "a"]), ValueError, "occurs twice"),
    (lambda: Vocabulary(["a", 1]), TypeError, "got int"),
    (lambda: Vocabulary(["a"], [1, 2]), ValueError, "1 tokens but 2 counts"),
    (lambda: Vocabulary([], unk="x", pad="x"), ValueError, "must differ"),
    (lambda: Vocabulary.build("abc"), TypeError, "tokenise it first"),
    (lambda: Vocabulary.build([["a"]], min_count=0), ValueError, "min_count >= 1"),
    (lambda: Vocabulary.build([["a"]], max_size=3), ValueError, "no room"),
    (lambda: Vocabulary.build([["a"]], order="x"), ValueError, "count or token"),
    (lambda: V3["d"], KeyError, "no token 'd'"),
    (lambda: V3.encode(["a"], bos=True), ValueError, "no bos"),
    (lambda: V3.decode([3]), IndexError, "id 3 is not one of 3"),
    (lambda: V3.decode([-1]), IndexError, "id -1"),
    (lambda: V3.decode([0.5]), TypeError, "expected integers"),
    (lambda: V3.decode([[0]]), TypeError, "expected integers"),
    (lambda: pad_sequences([]), ValueError, "at least one"),
    (lambda: pad_sequences([[1.5]]), TypeError, "list of integers"),
    (lambda: pad_sequences([[[1]]]), TypeError, "list of integers"),
    (lambda: pad_sequences([[1]], length=0), ValueError, "length >= 1"),
    (lambda: pad_sequences([[1]], multiple=-1), ValueError, "multiple >= 1"),
    (lambda: pad_sequences([[1]], side="up"), ValueError, "right or left"),
    (lambda: pad_batch()([([1, 2], [1])]), ValueError, "2 tokens has 1 labels"),
    (lambda: BucketSampler([1, 2], 0), ValueError, "batch_size >= 1"),
    (lambda: BucketSampler([[1]], 1), TypeError, "list of integers"),
    (lambda: BucketSampler([1], 1, seed=-1), ValueError, "seed"),
    (lambda: StreamLoader([1, 2, 3], 3, 1), ValueError, "3 tokens are too few"),
    (lambda: StreamLoader([], 1, 1), ValueError, "0 tokens are too few"),
    (lambda: StreamLoader([1, 2, 3], 1, 0), ValueError, "length >= 1"),
    (lambda: StreamLoader([1, 2, 3], 1, 5, drop_last=True), ValueError, "too few"),
    (lambda: StreamLoader([0.1, 0.2], 1, 1), TypeError, "list of integers"),
    (lambda: windows([1, 2], 2), ValueError, "too few"),
    (lambda: windows([1, 2], 0), ValueError, "context of 1"),
    (lambda: LanguageModel(0, 4), ValueError, "vocab_size >= 1"),
    (lambda: LanguageModel(5, 4, cell="x"), ValueError, "rnn, relu, gru or lstm"),
    (lambda: LanguageModel(5, 4, tie_weights=True), ValueError, "tie_weights needs"),
    (lambda: LM(ids(3)), ValueError, r"\[N, T\], got \[3\]"),
    (lambda: LM(ids(2, 3) + 7), IndexError, None),
    (lambda: LM.initial_state(0), ValueError, "batch_size >= 1"),
    (lambda: Carried(LM, 0), ValueError, "batch_size >= 1"),
    (lambda: Carried(LM, 2)(ids(2, 3), fastnn.zeros(3)), ValueError, r"keep of shape \[2\], got \[3\]"),
    (lambda: WindowLanguageModel(5, 0, 2, 2), ValueError, "sizes >= 1"),
    (lambda: WindowLanguageModel(5, 3, 2, 2)(ids(2, 4)), ValueError, r"\[N, 3\], got \[2, 4\]"),
    (lambda: sequence_log_prob(LM, ids(2, 1)), ValueError, "a token to score"),
    (lambda: sequence_log_prob(LM, ids(2, 3), fastnn.tensor([0, 3])), ValueError, "lengths"),
    (lambda: sequence_log_prob(LM, ids(2, 3), fastnn.tensor([1, 4])), ValueError, "lengths"),
    (lambda: next_probabilities([1.0], temperature=-1), ValueError, "temperature"),
    (lambda: next_probabilities([1.0], temperature=math.nan), ValueError, "temperature"),
    (lambda: next_probabilities([1.0], top_k=0), ValueError, "top_k"),
    (lambda: next_probabilities([1.0], top_p=0), ValueError, "top_p"),
    (lambda: next_probabilities([1.0], top_p=1.5), ValueError, "top_p"),
    (lambda: next_probabilities([1.0, math.nan]), ValueError, "NaN"),
    (lambda: next_probabilities([1.0], avoid=[0]), ValueError, "no token is left"),
    (lambda: next_probabilities([1.0], avoid=[1]), IndexError, "to avoid"),
    (lambda: next_probabilities(1.0), ValueError, "expected scores"),
    (lambda: generate(LM, 5), ValueError, "prefix or a first"),
    (lambda: generate(LM, -1, [1]), ValueError, "length >= 0"),
    (lambda: generate(LM, 1, [1], n=0), ValueError, "n >= 1"),
    (lambda: generate(LM, 1, [9]), IndexError, None),
    (lambda: generate(LM, 1, [0.5]), TypeError, "list of integers"),
    (lambda: generate(LM, 1, [1], seed=-1), ValueError, "seed"),
    (lambda: SequenceClassifier(5, 4, 4, 2, pool="x"), ValueError, "pool"),
    (lambda: SequenceClassifier(5, 4, 4, 2)(ids(3)), ValueError, r"\[N, T\]"),
    (lambda: SequenceTagger(None, 4, 4, 2)(fastnn.zeros((3, 4))), ValueError, r"\[N, T, C\]"),
    (lambda: SequenceTagger(9, 4, 4, 2)(ids(2, 3), fastnn.tensor([0, 3])), ValueError, None),
    (lambda: SequenceTagger(9, 4, 4, 2)(ids(2, 3), fastnn.tensor([3, 4])), ValueError, None),
    (lambda: OneToMany(3, 7, 6).begin(fastnn.zeros(3)), ValueError, r"\[N, C\]"),
]  # fmt: skip


@pytest.mark.parametrize("call, error, words", REFUSED, ids=range(len(REFUSED)))
def test_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
