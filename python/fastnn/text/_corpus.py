"""Sentences as numbers, for the models of words."""

from __future__ import annotations

from collections import Counter
from itertools import repeat

import numpy as np

__all__ = ["count_words", "encode", "frequent"]


def _checked(name, sentences):
    for sentence in sentences:
        if isinstance(sentence, str):
            raise TypeError(f"{name}: a sentence is a list of words, got a str; split it first")
        yield sentence if hasattr(sentence, "__len__") else list(sentence)


def count_words(name: str, sentences) -> Counter:
    counts: Counter = Counter()
    for sentence in _checked(name, sentences):
        counts.update(sentence)
    return counts


def frequent(name: str, counts, min_count: int):
    """(words, counts int64) of those that occur often enough, most frequent first, then by name."""
    kept = sorted(((w, n) for w, n in counts.items() if n >= max(min_count, 1)), key=lambda wn: (-wn[1], wn[0]))
    if not kept:
        raise ValueError(f"{name}: no word occurs {min_count} times")
    return [w for w, _ in kept], np.array([n for _, n in kept], np.int64)


def encode(name: str, sentences, index: dict, longest: int | None = None):
    """ids int32 [n] of the known words, starts int64 [sentences + 1]; longer sentences are cut."""
    parts, starts, total = [np.zeros(0, np.int32)], [0], 0
    find = index.get
    for sentence in _checked(name, sentences):
        found = np.fromiter(map(find, sentence, repeat(-1)), np.int32, len(sentence))
        found = found[found >= 0]
        parts.append(found)
        if longest is not None:
            starts.extend(range(total + longest, total + len(found), longest))
        total += len(found)
        starts.append(total)
    return np.concatenate(parts), np.array(starts, np.int64)
