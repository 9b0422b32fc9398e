"""temperature-forecast: a GRU reads the temperatures of a town day by day and says, every day, what tomorrow will be.

Many to many: an output at every step. It is held against an exponentially weighted average (the course's
v = beta v + (1 - beta) theta, with the best beta and bias correction), against "as today" and the season's mean.
The series is made here: seasons, warm and cold spells that come and go, fronts after which it is colder for days.

    fastnn train temperature-forecast
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.optim.lr_scheduler import WarmupCosine
from fastnn.recipes import _common
from fastnn.text import SequenceTagger
from fastnn.train import Trainer

NAME = "temperature-forecast"
DEFAULTS = dict(epochs=30, batch_size=16, lr=5e-3)
YEARS, LENGTH = 24, 120
SPLIT = (18, 3, 3)  # years to train, to validate, to test


def weather(years, rng):
    """Daily temperatures in degrees Celsius [days] and pressures in hPa [days]: fronts show in the pressure first."""
    days = np.arange(365 * years)
    season = 10.0 - 11.0 * np.cos(2 * np.pi * (days - 20) / 365)
    spell, front, warm, cold = np.zeros(len(days)), np.zeros(len(days)), 0.0, 0.0
    pressure = np.full(len(days), 1015.0)
    for t in days[1:]:
        warm = 0.8 * warm + rng.normal(0, 1.6)  # spells: days resemble each other
        spell[t] = warm
        if rng.random() < 1 / 9:  # a front: the pressure falls today, it is cold from tomorrow on, then less and less
            pressure[t] -= 12
            cold -= rng.uniform(3, 8)
        front[t] = cold if pressure[t] > 1005 else front[t - 1]
        cold *= 0.75
    return season + spell + front + rng.normal(0, 0.7, len(days)), pressure + rng.normal(0, 2, len(days))


def average(theta, beta):
    """The exponentially weighted average of all days so far, with bias correction: v / (1 - beta^t)."""
    v, out = 0.0, np.empty_like(theta)
    for t, x in enumerate(theta):
        v = beta * v + (1 - beta) * x
        out[t] = v / (1 - beta ** (t + 1))
    return out


def rmse(guess, truth):
    return float(np.sqrt(np.mean((guess - truth) ** 2)))


class Forecast(nn.Module):
    """Tomorrow is as today, and a correction that the network gives at every step."""

    def __init__(self):
        super().__init__()
        self.tagger = SequenceTagger(None, 4, 48, 1, cell="gru", head=[32])

    def forward(self, x):
        return x[:, :, :1] + self.tagger(x)


def main(args):
    folder = _common.start(args)
    theta, pressure = weather(YEARS, np.random.default_rng(args.seed))
    parts = np.split(np.arange(len(theta) - 1), np.cumsum(SPLIT)[:-1] * 365)
    mean, deviation = theta[parts[0]].mean(), theta[parts[0]].std()
    angle = 2 * np.pi * np.arange(len(theta)) / 365
    columns = np.stack([(theta - mean) / deviation, (pressure - 1015) / 5, np.sin(angle), np.cos(angle)], 1)
    target = ((theta - mean) / deviation)[1:, None]

    def examples(days, step):
        """Windows of LENGTH days [N, T, 4] and, for every day, the day after it [N, T, 1]."""
        starts = np.arange(days[0], days[-1] - LENGTH + 2, step)
        rows = starts[:, None] + np.arange(LENGTH)
        return TensorDataset(columns[rows].astype(np.float32), target[rows].astype(np.float32))

    model = Forecast()
    optimizer = optim.Adam(model.parameters(), lr=args.lr)
    loader = DataLoader(examples(parts[0], 15), args.batch_size, shuffle=True)
    steps = args.epochs * len(loader)
    trainer = Trainer(model, nn.MSELoss(), optimizer, clip_norm=1.0, schedule_per="step",
                      scheduler=WarmupCosine(optimizer, max(steps // 10, 1), steps),
                      checkpoint=folder / "checkpoint.safetensors", progress=not args.quiet)  # fmt: skip
    trainer.fit(loader, DataLoader(examples(parts[1], LENGTH), 10), epochs=args.epochs,
                resume="auto" if args.resume else False)  # fmt: skip
    if trainer.interrupted:
        raise KeyboardInterrupt
    _common.save(model, folder, NAME)

    # Everything is read from the first day of the validation years on, so that no day of the test is without a past.
    known, tested = np.concatenate(parts[1:]), parts[2]
    truth, today = theta[tested + 1], theta[tested]
    model.eval()
    with fastnn.no_grad():
        scores = model(fastnn.tensor(columns[known][None].astype(np.float32)))
    guess = scores.cpu().numpy()[0, -len(tested) :, 0].astype(np.float64) * deviation + mean
    betas = {beta: rmse(average(theta[known], beta)[: len(parts[1])], theta[parts[1] + 1])
             for beta in (0.3, 0.5, 0.7, 0.9, 0.98)}  # fmt: skip
    beta = min(betas, key=betas.get)
    smooth = average(theta[known], beta)[-len(tested) :]
    by_day = np.array([theta[: parts[1][0]].reshape(-1, 365)[:, day].mean() for day in range(365)])
    if not args.no_plots:
        from fastnn.train.plots import plot_curves

        plot_curves({"temperature": truth[:120], f"average, beta = {beta}": smooth[:120], "GRU": guess[:120]},
                    folder / "forecast.png", xlabel="day", ylabel="degrees",
                    title="Tomorrow, as told today")  # fmt: skip
    return {
        "rmse_gru": rmse(guess, truth),
        f"rmse_average_beta_{beta}": rmse(smooth, truth),
        "rmse_as_today": rmse(today, truth),
        "rmse_season": rmse(by_day[(tested + 1) % 365], truth),
    }


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
