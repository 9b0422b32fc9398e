"""dinosaur-names: a recurrent network from scratch names dinosaurs.

Forward pass, backpropagation through time, clipping and sampling are written out below in NumPy, one name at a time, as
in the course; the library's automatic gradients check them before the training begins.

    fastnn train dinosaur-names --data-dir DATA
"""

import numpy as np

import fastnn
import fastnn.nn.functional as F
from fastnn.data._random import permutation
from fastnn.datasets import Dinosaurs
from fastnn.recipes import _common
from fastnn.text import Vocabulary, choose

NAME = "dinosaur-names"
DEFAULTS = dict(epochs=15, lr=0.01)
UNITS, CLIP = 50, 5.0


def start(letters, units, rng):
    """Small random matrices; the course's names: a' = tanh(Wax x + Waa a + b), scores = Wya a' + by."""
    return {
        "Wax": rng.normal(0, 0.01, (units, letters)),
        "Waa": rng.normal(0, 0.01, (units, units)),
        "Wya": rng.normal(0, 0.01, (letters, units)),
        "b": np.zeros(units),
        "by": np.zeros(letters),
    }


def forward(p, x, y, a):
    """The loss of a name and what its backward pass needs. None in x stands for the zero vector before a name."""
    loss, states, chances = 0.0, [a], []
    for letter, target in zip(x, y):
        z = p["Waa"] @ states[-1] + p["b"]
        if letter is not None:
            z = z + p["Wax"][:, letter]
        states.append(np.tanh(z))
        scores = p["Wya"] @ states[-1] + p["by"]
        chance = np.exp(scores - scores.max())
        chances.append(chance / chance.sum())
        loss -= np.log(chances[-1][target])
    return loss, states, chances


def backward(p, x, y, states, chances):
    """From the last letter to the first; the gradients of the shared matrices add up over the letters."""
    g = {name: np.zeros_like(w) for name, w in p.items()}
    da_next = np.zeros_like(states[0])
    for t in reversed(range(len(x))):
        dy = chances[t].copy()
        dy[y[t]] -= 1
        g["Wya"] += np.outer(dy, states[t + 1])
        g["by"] += dy
        dz = (p["Wya"].T @ dy + da_next) * (1 - states[t + 1] ** 2)
        g["b"] += dz
        if x[t] is not None:
            g["Wax"][:, x[t]] += dz
        g["Waa"] += np.outer(dz, states[t])
        da_next = p["Waa"].T @ dz
    return g


def clip(g, limit):
    """Every number of the gradients into [-limit, limit]: by value, as the course does it."""
    for array in g.values():
        np.clip(array, -limit, limit, out=array)


def sample(p, end, rng, limit=50):
    """A new name: every letter drawn is the next input, until the end of line is drawn."""
    a, letter, name = np.zeros(len(p["b"])), None, []
    while len(name) < limit:
        _, states, chances = forward(p, [letter], [0], a)
        a, letter = states[1], int(choose(chances[0], rng.random()))
        if letter == end:
            break
        name.append(letter)
    return name


def check(p, x, y):
    """The largest difference between the gradients above and the library's."""
    w = {k: fastnn.tensor(v, dtype=fastnn.float64).requires_grad_() for k, v in p.items()}
    one_hot = fastnn.zeros((1, len(x), len(p["by"])), dtype=fastnn.float64)
    for t, letter in enumerate(x):
        if letter is not None:
            one_hot[0, t, letter] = 1.0
    zero = fastnn.zeros(len(p["b"]), dtype=fastnn.float64)
    states, _ = F.rnn(one_hot, [w["Wax"].T, w["Waa"].T, w["b"], zero])
    F.cross_entropy(states[0] @ w["Wya"].T + w["by"], fastnn.tensor(y), reduction="sum").backward()
    g = backward(p, x, y, *forward(p, x, y, np.zeros(len(p["b"])))[1:])
    return max(float(np.abs(g[k] - w[k].grad.cpu().numpy()).max()) for k in p)


def main(args):
    out = _common.start(args)
    names = [name.lower() for name in Dinosaurs(args.data_dir).items]
    vocabulary = Vocabulary.build([list("".join(names) + "\n")], unk=None, pad=None, bos=None, eos=None, order="token")
    end, letters = vocabulary["\n"], len(vocabulary)
    rng = np.random.default_rng(args.seed)
    p = start(letters, UNITS, rng)
    ids = [vocabulary.encode(name + "\n").tolist() for name in names]
    difference = check(p, [None, *ids[0][:-1]], ids[0])
    print(f"{len(names)} names, {letters} letters; gradients agree with the library's to {difference:.1e}")

    losses, smooth = [], -np.log(1 / letters) * np.mean([len(i) for i in ids])
    for epoch in range(args.epochs):
        for i in permutation(len(ids), args.seed, epoch):
            y = ids[i]
            x = [None, *y[:-1]]
            loss, states, chances = forward(p, x, y, np.zeros(UNITS))
            g = backward(p, x, y, states, chances)
            clip(g, CLIP)
            for name in p:
                p[name] -= args.lr * g[name]
            smooth = 0.999 * smooth + 0.001 * loss
            losses.append(smooth)
        if not args.quiet:
            made = ["".join(vocabulary.decode(sample(p, end, rng))) for _ in range(4)]
            print(f"epoch {epoch + 1}: loss {smooth:.2f} a name: {', '.join(made)}")
    fastnn.save({k: fastnn.tensor(v) for k, v in p.items()}, out / "model.safetensors", {"recipe": NAME})
    made = ["".join(vocabulary.decode(sample(p, end, rng))) for _ in range(200)]
    new = [name for name in made if name not in names]
    print("\nNew dinosaurs: " + ", ".join(sorted({n.capitalize() for n in new if len(n) > 5})[:24]))
    (out / "names.txt").write_text("\n".join(new) + "\n")
    if not args.no_plots:
        from fastnn.train.plots import plot_curves

        plot_curves({"smoothed": losses}, out / "losses.png", xlabel="name", ylabel="nats a name", title=NAME)
    return {
        "loss_a_letter": losses[-1] / float(np.mean([len(i) for i in ids])),
        "gradient_difference": difference,
        "share_saurus": f"{np.mean([n.endswith(('saurus', 'don', 'raptor', 'ops')) for n in made]):.0%}",
        "share_new": f"{len(new) / len(made):.0%}",
    }


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
