"""The course's numbers on sequences: words and their ids, language models, sampling, gradients through time."""

import numpy as np
import pytest
from course import arr, close, leaf, t64

import fastnn
import fastnn.nn.functional as F
from fastnn import nn
from fastnn.text import (
    LanguageModel,
    SequenceTagger,
    Vocabulary,
    WindowLanguageModel,
    WordTokenizer,
    choose,
    generate,
    next_probabilities,
    sequence_log_prob,
    windows,
)

HARRY = "Harry Potter and Hermione Granger invented a new spell."


def dictionary():
    """10,000 words; those the course names stand where it says (it counts from 1)."""
    words = [f"word{i}" for i in range(1, 10_001)]
    for word, place in {"a": 1, "aaron": 2, "and": 367, "harry": 4075, "potter": 6830, "zulu": 10_000, "orange": 6257,
                        "want": 9665, "i": 4343}.items():  # fmt: skip
        words[place - 1] = word
    return words


def test_sequence_notation():
    words = WordTokenizer(punctuation="drop")(HARRY)
    labels = [int(w in ("harry", "potter", "hermione", "granger")) for w in words]
    assert len(words) == 9 and labels == [1, 1, 0, 1, 1, 0, 0, 0, 0]


def test_one_hot_words():
    vocabulary = Vocabulary(dictionary(), unk="<unk>")
    shift = vocabulary["a"]  # the mark for unknown words comes first
    ids = vocabulary.encode(WordTokenizer(punctuation="drop")(HARRY))
    places = ids - shift + 1
    assert places[[0, 1, 2, 6]].tolist() == [4075, 6830, 367, 1] and len(vocabulary) == 10_001
    x = fastnn.one_hot(fastnn.tensor(ids), len(vocabulary))
    assert x.shape == (9, 10_001) and (arr(x).sum(1) == 1).all() and x[0, 4075 - 1 + shift].item() == 1
    assert (ids == vocabulary.unk).sum() == 5  # hermione, granger, invented, new, spell


def test_stacked_notation():
    """W_a [a, x] with W_a = [W_aa | W_ax] (100 x 10100) is W_aa a + W_ax x."""
    rng = np.random.default_rng(0)
    w_aa, w_ax = rng.normal(size=(100, 100)), rng.normal(size=(100, 10_000))
    a, x = rng.normal(size=100), rng.normal(size=10_000)
    stacked = np.concatenate([w_aa, w_ax], 1)
    assert stacked.shape == (100, 10_100)
    both = np.tanh(stacked @ np.concatenate([a, x]) / 100)
    y, _ = fastnn.rnn(t64(x[None, None]), [t64(w_ax.T / 100), t64(w_aa.T / 100)], t64(a[None, None]))
    close(y[0, 0], both, 1e-12)


def test_all_ones_network():
    """All weights 1, no bias: (1,1), (1,1), (2,2) give 4, 12, 32, and another order gives other numbers."""
    ones = [t64(np.ones((2, 2))), t64(np.ones((2, 2)))]

    def outputs(x):
        a, _ = fastnn.rnn(t64([x]), ones, nonlinearity="relu")
        return arr(a.sum(-1))[0].tolist()

    assert outputs([[1, 1], [1, 1], [2, 2]]) == [4, 12, 32]
    assert outputs([[2, 2], [1, 1], [1, 1]]) == [8, 20, 44]


def test_slots_need_a_memory():
    """Beijing in "arrive Beijing" and in "leave Beijing": alike for a network of single words, not for an RNN."""
    fastnn.manual_seed(0)
    words = fastnn.tensor([[1, 3], [2, 3]])
    alone = nn.Sequential(nn.Embedding(4, 5), nn.Linear(5, 3))(words)
    with_memory = SequenceTagger(4, 5, 6, 3, cell="rnn")(words)
    assert (alone[0, 1] == alone[1, 1]).all().item() and not (with_memory[0, 1] == with_memory[1, 1]).all().item()


def test_gradients_through_time_against_differences():
    rng = np.random.default_rng(1)
    x, y = t64(rng.normal(size=(1, 5, 2))), t64([1.0, 0, 1, 1, 0])
    w = [rng.normal(size=s) * 0.7 for s in ((2, 3), (3, 3), (3,), (3,), (3,))]

    def total(values):
        a, _ = fastnn.rnn(x, values[:2] + [values[2], values[3]])
        p = (a[0] @ values[4]).sigmoid()
        return F.binary_cross_entropy(p, y, reduction="sum")  # L is the sum of the losses of all steps

    leaves = [leaf(v) for v in w]
    total(leaves).backward()
    for i, value in enumerate(w):
        for place in np.ndindex(value.shape):
            ends = []
            for step in (1e-6, -1e-6):
                moved = [v.copy() for v in w]
                moved[i][place] += step
                ends.append(total([t64(v) for v in moved]).item())
            assert leaves[i].grad[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, abs=1e-7)


class Table(nn.Module):
    """A language model that always says the same: the probabilities of a table, whatever came before."""

    def __init__(self, p):
        super().__init__()
        self.scores = t64(p).log()

    def initial_state(self, n):
        return fastnn.zeros((1, n, 1))

    def forward(self, x, state):
        return self.scores.expand(*x.shape, len(self.scores)), state

    def step(self, ids, state):
        return self.scores.expand(ids.shape[0], len(self.scores)), state


def test_the_apple_and_pear_salad():
    """A speech recogniser hears both; the language model finds pear 1781 times as probable: 5.7e-10, 3.2e-13."""
    words = ["the", "apple", "and", "salad", "pear", "pair"]
    p = {"the": 0.05, "apple": 0.02, "and": 0.03, "salad": 0.01}
    rest = p["the"] * p["apple"] * p["and"] * p["salad"]
    p |= {"pear": 5.7e-10 / rest, "pair": 3.2e-13 / rest}
    model = Table([*(p[w] for w in words), 1 - sum(p.values())])
    vocabulary = Vocabulary([*words, "others"])
    sentences = ["the apple and pear salad", "the apple and pair salad"]
    ids = fastnn.tensor(np.stack([vocabulary.encode(s.split()) for s in sentences]))
    pear, pair = sequence_log_prob(model, ids, first=6).exp().tolist()
    assert pear == pytest.approx(5.7e-10, rel=1e-9) and pair == pytest.approx(3.2e-13, rel=1e-9)
    assert pear / pair == pytest.approx(1781.25, abs=0.01)


def test_cats_sleep_nine_tokens():
    sentence = "Cats average 15 hours of sleep a day."
    vocabulary = Vocabulary(dictionary(), unk="<unk>", eos="<eos>")
    assert len(vocabulary) == 10_002
    assert len(vocabulary.encode(WordTokenizer(punctuation="drop")(sentence), eos=True)) == 9
    assert len(vocabulary.encode(WordTokenizer()(sentence), eos=True)) == 10  # with the full stop as a token
    known = Vocabulary("the egyptian is a breed of cat".split(), unk="<unk>")
    ids = known.encode(WordTokenizer()("The Egyptian Mau is a breed of cat"))
    assert known.decode(ids) == "the egyptian <unk> is a breed of cat".split()


def test_teacher_forcing_and_the_chain_rule():
    """x1 = 0, a0 = 0, x<t> = y<t-1>; the loss of a sentence is the sum over its words; P(y1 y2 y3) is a product."""
    fastnn.manual_seed(0)
    model = LanguageModel(5, 4, embedding_dim=3).eval()
    with fastnn.no_grad():
        model.embedding.weight[0] = 0.0  # the token before the first stands for the zero vector
        y = fastnn.tensor([[2, 4, 1]])
        p, state = [], model.initial_state(1)
        for previous, target in zip([0, 2, 4], [2, 4, 1]):
            scores, state = model.step(fastnn.tensor([previous]), state)
            p.append(scores.softmax(-1)[0, target].item())
    assert sequence_log_prob(model, y, first=0).item() == pytest.approx(np.log(np.prod(p)), rel=1e-5)
    scores, _ = model(fastnn.tensor([[0, 2, 4]]))
    assert F.cross_entropy(scores, y, reduction="sum").item() == pytest.approx(-np.log(p).sum(), rel=1e-5)


def test_sampling_ends_with_eos_or_after_a_number_of_steps():
    model = Table([0.1, 0.6, 0.1, 0.2])  # eos, cat, <unk>, mau
    made = generate(model, 20, first=0, stop=0, avoid=[2], n=400, seed=1)
    lengths = np.array([len(m) for m in made])
    assert lengths.max() == 20 and (lengths < 20).any() and not any(2 in m or 0 in m for m in made)
    tokens = np.concatenate(made)
    assert (tokens == 1).mean() == pytest.approx(0.75, abs=0.03)  # 0.6 against 0.2, UNK drawn again
    # np.random.choice of the course, and what a draw on the cumulative sum gives
    p = next_probabilities(np.log([0.1, 0.6, 0.1, 0.2]))
    assert [int(choose(p, u)) for u in (0.05, 0.5, 0.75, 0.9)] == [0, 1, 2, 3]


def test_letters_know_no_unknown_word():
    letters = Vocabulary([*"abcdefghijklmnopqrstuvwxyz", *" .,;", *"0123456789", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"])
    assert letters.decode(letters.encode("Cat Mau")) == ["C", "a", "t", " ", "M", "a", "u"]
    words = WordTokenizer()("The cat, which already ate, was full")
    assert len("The cat, which already ate, was full") > 3 * len(words)  # sequences become longer


def test_gradient_clipping():
    """g = (3, 4): by norm 1 it becomes (0.6, 0.8), by value 3.5 (3, 3.5)."""
    p = nn.Parameter(t64([0.0, 0.0]))
    p.grad = t64([3.0, 4.0])
    assert nn.utils.clip_grad_norm_([p], 1.0).item() == pytest.approx(5)
    close(p.grad, [0.6, 0.8], 1e-6)
    p.grad = t64([3.0, 4.0])
    nn.utils.clip_grad_value_([p], 3.5)
    close(p.grad, [3, 3.5])


def test_gradients_vanish_and_explode():
    from fastnn.recipes.rnn_gradients import cells, norms

    left = {name: norms(cell, 60, 0)[0] for name, cell in cells().items() if "gain" in name or "forget" in name}
    assert left["RNN, gain 0.8"] < 1e-5 and left["ReLU RNN, gain 1.8"] > 1e3
    assert 0.1 < left["LSTM, forget bias 4"] < 100


def test_reading_in_both_directions():
    """ "He said, Teddy ..." is the same so far: from the left alone both get one label, in both directions not."""
    fastnn.manual_seed(0)
    president, bears = fastnn.tensor([[1, 2, 3, 4], [1, 2, 3, 5]])  # the last word differs, the third is Teddy
    both = fastnn.stack([president, bears])
    for bidirectional in (False, True):
        y = SequenceTagger(6, 4, 5, 2, bidirectional=bidirectional).eval()(both)[:, 2]
        assert (y[0] == y[1]).all().item() is not bidirectional


def test_deep_recurrent_network():
    """a[2]<3> = g(W_a[2] [a[2]<2>, a[1]<3>] + b_a[2])."""
    fastnn.manual_seed(0)
    layers = nn.RNN(3, 4, num_layers=2, dtype=fastnn.float64)
    x = t64(np.random.default_rng(0).normal(size=(1, 3, 3)))
    below = nn.RNN(3, 4, dtype=fastnn.float64)
    below.load_state_dict({k: v for k, v in layers.state_dict().items() if k.endswith("l0")})
    first, second = arr(below(x)[0])[0], arr(layers(x)[0])[0]
    w = {k: arr(v) for k, v in layers.state_dict().items()}
    z = second[1] @ w["weight_hh_l1"] + first[2] @ w["weight_ih_l1"] + w["bias_ih_l1"] + w["bias_hh_l1"]
    close(t64(second[2]), np.tanh(z), 1e-12)


def test_lookup_is_the_product_with_a_one_hot_vector():
    """e_6257 = E O_6257, a column of E [300, 10000]; here a row of [10000, 300]."""
    table = nn.Embedding(10_000, 300)
    one_hot = fastnn.one_hot(fastnn.tensor([6257 - 1]), 10_000, dtype=fastnn.float32)
    assert (table(fastnn.tensor([6257 - 1])) == one_hot @ table.weight).all().item()
    o = fastnn.one_hot(fastnn.tensor([5390, 9852]), 10_000)
    assert (o[0] * o[1]).sum().item() == 0  # man and woman: no more alike than any two words


def test_a_neural_language_model():
    """Six words of 300 numbers are 1800 inputs; the last four are 1200, whatever the length of the sentence."""
    assert WindowLanguageModel(10_000, 6, 300, 8).hidden.weight.shape == (1800, 8)
    model = WindowLanguageModel(10_000, 4, 300, 8)
    assert model.hidden.weight.shape == (1200, 8) and model.head.weight.shape == (8, 10_000)
    assert model.embedding.weight.shape == (10_000, 300)  # one table for all places


def test_contexts():
    text = "i want a glass of orange juice to go along with my cereal".split()
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    juice = vocabulary["juice"]

    def context(before, after):
        found, target = windows(ids, before, after)
        return vocabulary.decode(found[target.tolist().index(juice)])

    assert context(4, 0) == "a glass of orange".split()
    assert context(4, 4) == "a glass of orange to go along with".split()
    assert context(1, 0) == ["orange"]
