"""How each library does the operations of the suite ``ops``: one file a library, a table of functions and a way to call
them forward, or forward and backward."""

import numpy as np

#: Operations whose first argument is an image: the suite has ``[N, H, W, C]``.
IMAGES = ("max_pool", "avg_pool", "batch_norm")
#: Arguments that get a gradient.
LEAVES = ("x", "weight", "bias")


def dropout_summary(x, y, g=None, dx=None):
    """Random results cannot be compared with a reference: the largest error given what was dropped, the share kept."""
    x, y = np.asarray(x), np.asarray(y)
    kept = y != 0
    error = np.abs(y - np.where(kept, 2 * x, 0)).max()
    if dx is not None:
        error = max(error, np.abs(np.asarray(dx) - np.where(kept, 2 * np.asarray(g), 0)).max())
    return np.array([error, kept.mean()])
