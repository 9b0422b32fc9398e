"""Do two sets come from one distribution? The dev set must look like the test set, or the team aims at the wrong mark.

Two tests. Feature by feature, the Kolmogorov-Smirnov distance between the two empirical distributions. And all at once,
a classifier that tries to tell the sets apart (Lopez-Paz and Oquab 2017): on items it was not trained on, it is right
half of the time if there is nothing to tell.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from .._arrays import to_numpy
from ..data import Whitener
from ..data._random import check_seed, permutation
from ..metrics import roc_auc

__all__ = ["DistributionCheck", "DistributionWarning", "same_distribution", "ks_test"]


class DistributionWarning(UserWarning):
    """Two sets that should come from one distribution do not."""


def ks_test(a, b) -> tuple[float, float]:
    """Two-sample Kolmogorov-Smirnov test: the largest distance of the empirical distributions, and its p-value.

    The p-value is the asymptotic one (Stephens' correction for small samples); with many ties it is too large.
    """
    a, b = (np.sort(to_numpy(v).reshape(-1).astype(np.float64)) for v in (a, b))
    if not len(a) or not len(b) or np.isnan(a[-1]) or np.isnan(b[-1]):
        raise ValueError(f"ks_test: expected numbers without NaN in both samples, got {len(a)} and {len(b)}")
    points = np.concatenate([a, b])
    distance = abs(
        np.searchsorted(a, points, side="right") / len(a) - np.searchsorted(b, points, side="right") / len(b)
    ).max()
    n = math.sqrt(len(a) * len(b) / (len(a) + len(b)))
    x = (n + 0.12 + 0.11 / n) * distance
    if x < 0.2:
        return float(distance), 1.0
    p = 2 * sum((-1) ** (k - 1) * math.exp(-2 * k * k * x * x) for k in range(1, 101))
    return float(distance), min(1.0, max(0.0, p))


class DistributionCheck:
    """What `same_distribution` found.

    Attributes
    ----------
    same : bool
        Neither test sees a difference.
    accuracy : float
        Of the classifier on items it was not trained on; 0.5 when there is nothing to tell.
    area : float
        Its area under the ROC curve.
    p_value : float
        Of that accuracy, were the sets alike.
    features : list of (name, distance, p-value)
        The largest distance first; p-values are corrected for the number of features (Bonferroni).
    """

    def __init__(self, accuracy, area, p_value, features, alpha, sizes, samples):
        self.accuracy, self.area, self.p_value = accuracy, area, p_value
        self.features, self.alpha, self.sizes = features, alpha, sizes
        self._samples = samples  # name -> (values in a, values in b), of the features that differ most
        self.same = p_value >= alpha and all(p >= alpha for _, _, p in features)

    def report(self, most: int = 5) -> str:
        """The verdict in a few lines."""
        verdict = "no difference seen" if self.same else "the two sets do NOT come from one distribution"
        lines = [
            f"same distribution? {verdict} ({self.sizes[0]} and {self.sizes[1]} items)",
            f"  a classifier tells them apart with {self.accuracy:.1%} accuracy, area {self.area:.3f} "
            f"(p = {self.p_value:.2g}; 50 % is chance)",
        ]
        for name, distance, p in self.features[:most]:
            lines.append(f"  {name}: largest distance {distance:.3f} (p = {p:.2g})")
        if not self.same:
            lines.append("  shuffle all data from every source together, then cut dev and test from it")
        return "\n".join(lines)

    def __str__(self):
        return self.report()

    def plot(self, path, names=("dev", "test"), title: str | None = None) -> None:
        """Empirical distributions of the features that differ most, side by side for the two sets."""
        from ..train.plots import PALETTE, new_figure, save_figure

        shown = list(self._samples.items())
        figure, axes = new_figure(3.4 * len(shown), 3.2, 1, len(shown))
        p_values = {name: (distance, p) for name, distance, p in self.features}
        for ax, (name, pair) in zip(axes.flat, shown):
            for label, values, color in zip(names, pair, PALETTE):
                values = np.sort(values)
                y = (np.arange(len(values)) + 1) / len(values)
                ax.step(values, y, where="post", color=color, linewidth=1.6, label=label)
            distance, p = p_values[name]
            ax.set_title(f"{name}\ndistance {distance:.3f}, p = {p:.2g}", fontsize=10, color="#222222")
            ax.grid(True, color="#e6e6e6", linewidth=0.8)
        axes[0, 0].set_ylabel("share of items below", fontsize=9, color="#444444")
        axes[0, 0].legend(frameon=False, fontsize=9)
        verdict = "no difference seen" if self.same else "different distributions"
        head = f"{names[0]} and {names[1]}: {verdict}; a classifier tells them apart with {self.accuracy:.1%}"
        figure.suptitle(title or head, fontsize=11, color="#222222")
        save_figure(figure, path)


def same_distribution(a, b, alpha: float = 0.01, seed: int = 0, features=None, components: int = 50, epochs: int = 30,
                      warn: bool = True) -> DistributionCheck:  # fmt: skip
    """Check that two sets (dev and test) come from one distribution; DistributionWarning when they do not.

    Parameters
    ----------
    a, b : array [N, ...] and [M, ...]
        At least 20 items each; examples of any shape are flattened.
    alpha : float
        Chance of a false alarm that is accepted, for each of the two tests.
    seed : int
        Of the classifier; the global generator is left as it was.
    features : sequence of str, optional
        Names; default "feature 0", ...
    components : int
        Principal components (of both sets together) the classifier sees, at most.
    epochs : int
    warn : bool

    Notes
    -----
    Sets of many items are told apart by differences too small to matter: look at the distances, not at p alone.
    """
    x = [to_numpy(v) for v in (a, b)]
    if any(v.ndim == 0 or v.dtype.kind not in "fiub" for v in x):
        raise ValueError(f"same_distribution: expected numbers [N, ...], got {[f'{v.dtype} {v.shape}' for v in x]}")
    x = [v.reshape(len(v), -1).astype(np.float64) for v in x]
    if x[0].shape[1] != x[1].shape[1] or min(map(len, x)) < 20 or not x[0].shape[1]:
        raise ValueError(
            f"same_distribution: expected 20 or more items of one shape in both, got {[list(v.shape) for v in x]}"
        )
    if not all(np.isfinite(v).all() for v in x):
        raise ValueError("same_distribution: the data holds NaN or infinity")
    if not 0 < alpha < 1:
        raise ValueError(f"same_distribution: alpha must lie between 0 and 1, got {alpha}")
    width = x[0].shape[1]
    names = [f"feature {i}" for i in range(width)] if features is None else [str(f) for f in features]
    if len(names) != width:
        raise ValueError(f"same_distribution: {width} features, {len(names)} names")
    tested = [ks_test(u, v) for u, v in zip(x[0].T, x[1].T)]
    order = sorted(range(width), key=lambda i: (-tested[i][0], i))
    rows = [(names[i], tested[i][0], min(1.0, tested[i][1] * width)) for i in order]
    samples = {names[i]: (x[0][:, i], x[1][:, i]) for i in order[:4]}
    accuracy, area, p = _classifier_test(*x, check_seed(seed, "same_distribution: seed"), components, epochs)
    check = DistributionCheck(accuracy, area, p, rows, alpha, (len(x[0]), len(x[1])), samples)
    if warn and not check.same:
        warnings.warn(check.report(3), DistributionWarning, stacklevel=2)
    return check


def _classifier_test(a, b, seed, components, epochs):
    """Held-out accuracy of a small network that tells a from b, by two halves, and its p-value under chance."""
    import fastnn
    from fastnn import nn, optim

    n = min(len(a), len(b))  # as many of each, so that chance is one half
    a, b = (v[permutation(len(v), seed, i)[:n]] for i, v in enumerate((a, b)))
    x, y = np.concatenate([a, b]), np.repeat([0, 1], n)
    spread = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)
    keep = min(components, x.shape[1], max(n // 5, 1))
    if x.shape[1] > keep:
        x = Whitener("pca", components=keep).fit_transform(x)
    x = x.astype(np.float32)
    half = np.concatenate([permutation(n, seed, 2) % 2, permutation(n, seed, 3) % 2])
    scores = np.zeros(2 * n)
    state = fastnn.get_rng_state()
    try:
        fastnn.manual_seed(seed)
        for fold in (0, 1):
            model = nn.Sequential(nn.Linear(x.shape[1], 32), nn.ReLU(), nn.Linear(32, 1))
            optimizer = optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.1)
            rows = np.flatnonzero(half == fold)
            for epoch in range(epochs):
                for batch in np.array_split(rows[permutation(len(rows), seed, epoch)], max(len(rows) // 64, 1)):
                    target = fastnn.tensor(y[batch].astype(np.float32)[:, None])
                    loss = nn.functional.binary_cross_entropy_with_logits(model(fastnn.tensor(x[batch])), target)
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            with fastnn.no_grad():
                scores[half != fold] = model(fastnn.tensor(x[half != fold])).cpu().numpy()[:, 0]
    finally:
        fastnn.set_rng_state(state)
    accuracy = float(((scores > 0) == y).mean())
    z = (accuracy - 0.5) * 2 * math.sqrt(2 * n)
    return accuracy, roc_auc(scores, y), 0.5 * math.erfc(z / math.sqrt(2))
