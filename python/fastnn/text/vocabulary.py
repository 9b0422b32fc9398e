"""Tokens and their numbers."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np

from .._arrays import to_numpy
from ..io import atomic_write

__all__ = ["Vocabulary"]

FORMAT = "fastnn-vocabulary"


class Vocabulary:
    """A list of tokens; the id of a token is its place.

    Parameters
    ----------
    tokens : iterable of str
        All different, special ones included.
    counts : iterable of int, optional
        How often each occurred (0 for all by default).
    unk, pad, bos, eos : str, optional
        Which of the tokens stand for unknown ones, padding, beginning and end. Those that are not among `tokens` are
        put before them, in the order pad, unk, bos, eos: padding is 0 where there is padding.

    Attributes
    ----------
    tokens : list of str
    counts : list of int
    unk, pad, bos, eos : int or None
        Their ids.
    """

    _SPECIAL = ("pad", "unk", "bos", "eos")

    def __init__(self, tokens, counts=None, *, unk: str | None = None, pad: str | None = None, bos: str | None = None,
                 eos: str | None = None):  # fmt: skip
        tokens = list(tokens)
        counts = [0] * len(tokens) if counts is None else [int(c) for c in counts]
        if len(counts) != len(tokens):
            raise ValueError(f"Vocabulary: {len(tokens)} tokens but {len(counts)} counts")
        special = {"pad": pad, "unk": unk, "bos": bos, "eos": eos}
        named = [t for t in special.values() if t is not None]
        for token in [*tokens, *named]:
            if not isinstance(token, str):
                raise TypeError(f"Vocabulary: a token is a str, got {type(token).__name__}")
        if len(set(named)) != len(named):
            raise ValueError(f"Vocabulary: the special tokens must differ, got {named}")
        known = set(tokens)
        new = [t for t in named if t not in known]
        self.tokens, self.counts = new + tokens, [0] * len(new) + counts
        self._ids = {t: i for i, t in enumerate(self.tokens)}
        if len(self._ids) != len(self.tokens):
            twice = next(t for t, n in Counter(self.tokens).items() if n > 1)
            raise ValueError(f"Vocabulary: the token {twice!r} occurs twice")
        self.pad, self.unk, self.bos, self.eos = (self._ids.get(special[k]) for k in self._SPECIAL)

    @classmethod
    def build(cls, sentences, min_count: int = 1, max_size: int | None = None, *, unk: str | None = "<unk>",
              pad: str | None = "<pad>", bos: str | None = "<bos>", eos: str | None = "<eos>",
              order: str = "count") -> Vocabulary:  # fmt: skip
        """The vocabulary of tokenised sentences.

        Parameters
        ----------
        sentences : iterable of iterables of str
        min_count : int
            Rarer tokens are left out (and are unknown ones then).
        max_size : int, optional
            Only the most frequent tokens, so that with the special ones there are at most this many.
        unk, pad, bos, eos : str or None
            The special tokens; None for those that are not wanted.
        order : {"count", "token"}
            Ids by falling count (ties by token), or by token.
        """
        if order not in ("count", "token"):
            raise ValueError(f"Vocabulary.build: order must be count or token, got {order!r}")
        if min_count < 1:
            raise ValueError(f"Vocabulary.build: expected min_count >= 1, got {min_count}")
        counts: Counter = Counter()
        for sentence in sentences:
            if isinstance(sentence, str):
                raise TypeError("Vocabulary.build: expected lists of tokens, got a str; tokenise it first")
            counts.update(sentence)
        special = [t for t in (pad, unk, bos, eos) if t is not None]
        kept = sorted(((t, n) for t, n in counts.items() if n >= min_count and t not in special),
                      key=lambda item: (-item[1], item[0]))  # fmt: skip
        if max_size is not None:
            if max_size < len(special):
                raise ValueError(f"Vocabulary.build: max_size {max_size} has no room for {len(special)} special tokens")
            kept = kept[: max_size - len(special)]
        if order == "token":
            kept.sort()
        tokens = [*special, *(t for t, _ in kept)]
        return cls(tokens, [*(counts[t] for t in special), *(n for _, n in kept)], unk=unk, pad=pad, bos=bos, eos=eos)

    def __len__(self):
        return len(self.tokens)

    def __contains__(self, token):
        return token in self._ids

    def __iter__(self):
        return iter(self.tokens)

    def __eq__(self, other):
        return isinstance(other, Vocabulary) and self._state() == other._state()

    __hash__ = None

    def __getitem__(self, token: str) -> int:
        """The id of a token; that of `unk` for one that is not there, KeyError without `unk`."""
        found = self._ids.get(token, self.unk)
        if found is None:
            raise KeyError(f"Vocabulary: there is no token {token!r}, and no token for unknown ones")
        return found

    def encode(self, tokens, bos: bool = False, eos: bool = False) -> np.ndarray:
        """The ids of tokens (of a str: of its characters), int64 [T], with a beginning and an end if asked for."""
        for wanted, name in ((bos, "bos"), (eos, "eos")):
            if wanted and getattr(self, name) is None:
                raise ValueError(f"Vocabulary.encode: this vocabulary has no {name} token")
        get, unk = self._ids.get, self.unk
        ids = [get(t, unk) for t in tokens]
        if unk is None and None in ids:
            missing = next(t for t, i in zip(tokens, ids) if i is None)
            raise KeyError(f"Vocabulary: there is no token {missing!r}, and no token for unknown ones")
        return np.asarray([self.bos] * bos + ids + [self.eos] * eos, np.int64)

    def decode(self, ids, special: bool = False) -> list[str]:
        """The tokens of ids; padding, beginning and end are left out unless `special`.

        Raises
        ------
        IndexError
            For an id that is not in the vocabulary.
        """
        array = to_numpy(ids) if hasattr(ids, "shape") else np.asarray(ids)
        if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
            raise TypeError(f"Vocabulary.decode: expected integers [T], got {array.dtype} {list(array.shape)}")
        outside = (array < 0) | (array >= len(self.tokens))
        if outside.any():
            raise IndexError(f"Vocabulary.decode: id {array[outside][0]} is not one of {len(self.tokens)}")
        hidden = () if special else (self.pad, self.bos, self.eos)
        return [self.tokens[i] for i in array.tolist() if i not in hidden]

    def _state(self):
        names = {k: None if getattr(self, k) is None else self.tokens[getattr(self, k)] for k in self._SPECIAL}
        return {"format": FORMAT, "version": 1, "special": names, "tokens": self.tokens, "counts": self.counts}

    def save(self, path) -> None:
        """Write a JSON file, atomically."""
        with atomic_write(path) as file:
            file.write(json.dumps(self._state(), ensure_ascii=False, indent=0).encode())

    @classmethod
    def load(cls, path) -> Vocabulary:
        """Read what `save` wrote; ValueError for another or damaged file."""
        try:
            with open(path, encoding="utf-8") as file:
                state = json.load(file)
            if not isinstance(state, dict) or state.get("format") != FORMAT:
                raise ValueError("no vocabulary")
            if state["version"] != 1:
                raise ValueError(f"version {state['version']}, this fastnn reads version 1")
            special = {k: state["special"][k] for k in cls._SPECIAL}
            vocabulary = cls(state["tokens"], state["counts"], **special)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not a vocabulary of fastnn ({error})") from None
        if vocabulary.tokens != state["tokens"]:
            raise ValueError(f"{path}: not a vocabulary of fastnn (a special token is missing)")
        return vocabulary

    def __repr__(self):
        special = ", ".join(f"{k}={self.tokens[i]!r}" for k in self._SPECIAL if (i := getattr(self, k)) is not None)
        return f"Vocabulary({len(self)} tokens{', ' + special if special else ''})"
