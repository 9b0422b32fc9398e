"""rnn-gradients: how much of a gradient is left after hundreds of steps back in time, measured and drawn.

A loss at the last step only; to each state on the way a zero is added whose gradient is then that of the state. In a
simple RNN the gradient is multiplied with W^T diag(1 - a^2) at every step, so it dies or grows without bound; an LSTM
whose forget gate is open hands it on. Clipping keeps an exploded gradient's direction and gives it a length.

    fastnn train rnn-gradients
"""

import numpy as np

import fastnn
from fastnn import nn
from fastnn.nn.utils import clip_grad_norm_
from fastnn.recipes import _common

NAME = "rnn-gradients"
DEFAULTS = dict(epochs=4)
UNITS, STEPS = 64, 100


def norms(cell, steps, seed):
    """||dL / da_t|| for t = 0 ... steps - 1, the mean over 16 sequences of noise; L is linear in the last state."""
    fastnn.manual_seed(seed)
    x = fastnn.randn((16, steps, cell.input_size)) * 0.5
    direction = fastnn.randn((16, UNITS)) / UNITS**0.5
    added, state = [], None
    for t in range(steps):
        new = cell(x[:, t], state)
        zero = fastnn.zeros((16, UNITS)).requires_grad_()
        added.append(zero)
        # An LSTM's memory is its cell c; the others' is h.
        state = (new[0], new[1] + zero) if isinstance(new, tuple) else new + zero
    last = state[1] if isinstance(state, tuple) else state
    (last * direction).sum().backward()
    return np.array([float(np.linalg.norm(z.grad.cpu().numpy(), axis=1).mean()) for z in added])


def cells():
    """Name -> cell: weights of three sizes for the simple RNN (orthogonal, times a gain), GRU, LSTM."""
    table = {}
    for name, gain, kind in (("RNN, gain 0.8", 0.8, "tanh"), ("RNN, gain 1.0", 1.0, "tanh"),
                             ("ReLU RNN, gain 1.8", 1.8, "relu")):  # fmt: skip
        cell = nn.RNNCell(8, UNITS, nonlinearity=kind, bias=False)
        nn.init.orthogonal_(cell.weight_hh, gain)
        table[name] = cell
    table["GRU"] = nn.GRUCell(8, UNITS)
    table["LSTM"] = nn.LSTMCell(8, UNITS)
    table["LSTM, forget bias 4"] = nn.LSTMCell(8, UNITS, forget_bias=4.0)
    return table


def main(args):
    folder = _common.start(args)
    curves, results = {}, {}
    for name, cell in cells().items():
        runs = np.array([norms(cell, STEPS, args.seed + run) for run in range(args.epochs)])
        curves[name] = runs.mean(0)[::-1]  # by the distance from the loss
        a_step = (curves[name][-1] / curves[name][0]) ** (1 / (STEPS - 1))
        print(f"{name:<20} {STEPS} steps back: {curves[name][-1]:9.2e}   a step multiplies by {a_step:.3f}")
        results[f"{name} after {STEPS} steps"] = float(curves[name][-1])

    # What an exploded gradient does to the weights, and what clipping makes of it.
    exploding = cells()["ReLU RNN, gain 1.8"]
    gradient = exploding.weight_hh
    x, state = fastnn.randn((4, STEPS, 8)), None
    for t in range(STEPS):
        state = exploding(x[:, t], state)
    state.square().mean().backward()
    before = float(clip_grad_norm_([gradient], 1.0))
    results["gradient norm before clipping"], results["after"] = (
        before,
        float(np.linalg.norm(gradient.grad.cpu().numpy())),
    )
    if not args.no_plots:
        from fastnn.train.plots import plot_curves

        plot_curves(curves, folder / "gradients.png", xlabel="steps back in time", ylabel="norm of the gradient",
                    title="What is left of a gradient", log=True)  # fmt: skip
    return results


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
