"""Text in pieces: characters, words, letter n-grams."""

from __future__ import annotations

import re

import numpy as np

__all__ = ["CharTokenizer", "WordTokenizer", "LetterNgrams"]


def check_text(op: str, text) -> str:
    """The text, or TypeError for anything else."""
    if not isinstance(text, str):
        raise TypeError(f"{op}: expected a str, got {type(text).__name__}")
    return text


class CharTokenizer:
    """A text as its characters: no word is ever unknown, but sequences are long.

    Parameters
    ----------
    lower : bool, default False
        Small letters only.
    """

    def __init__(self, lower: bool = False):
        self.lower = bool(lower)

    def __call__(self, text: str) -> list[str]:
        text = check_text("CharTokenizer", text)
        return list(text.lower() if self.lower else text)

    def join(self, tokens) -> str:
        """The text of these characters."""
        return "".join(tokens)


class WordTokenizer:
    """A text as words.

    A word is a run of letters and digits, with apostrophes and hyphens inside it ("don't", "well-made"); a mark such as
    ``<unk>`` stays whole.

    Parameters
    ----------
    lower : bool, default True
        Small letters only.
    punctuation : {"split", "drop", "keep"}
        A token for each mark (default), none, or left where it stands: then only blanks separate words.
    """

    _WORD = re.compile(r"<\w+>|\w+(?:['’\-]\w+)*|[^\w\s]")
    _OPENING, _CLOSING = set("([{“‘"), set(".,;:!?)]}%”’")

    def __init__(self, lower: bool = True, punctuation: str = "split"):
        if punctuation not in ("split", "drop", "keep"):
            raise ValueError(f"WordTokenizer: punctuation must be split, drop or keep, got {punctuation!r}")
        self.lower, self.punctuation = bool(lower), punctuation

    def __call__(self, text: str) -> list[str]:
        text = check_text("WordTokenizer", text)
        text = text.lower() if self.lower else text
        if self.punctuation == "keep":
            return text.split()
        tokens = self._WORD.findall(text)
        if self.punctuation == "drop":
            tokens = [t for t in tokens if t[0] == "<" and len(t) > 1 or re.match(r"\w", t)]
        return tokens

    def join(self, tokens) -> str:
        """Words with blanks between them, none before a closing mark or behind an opening one."""
        text, glue = [], True
        for token in tokens:
            if text and not glue and token not in self._CLOSING:
                text.append(" ")
            text.append(token)
            glue = token in self._OPENING
        return "".join(text)


class LetterNgrams:
    """A word as the n-grams of its letters: related and misspelt words share most of them (word hashing, Huang 2013).

    "apple" with n = 3 is app, ppl, ple; with ``boundary="#"`` also #ap and le#.

    Parameters
    ----------
    n : int, default 3
    buckets : int, optional
        n-grams are hashed (FNV-1a, the same everywhere) into this many ids. Without it each n-gram of the letters a-z
        (and the boundary mark) has an id of its own, 26^n or 27^n in all; n-grams with other characters are left out.
    boundary : str, default ""
        One character set before and behind the word, or none.
    """

    def __init__(self, n: int = 3, buckets: int | None = None, boundary: str = ""):
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"LetterNgrams: expected an int n >= 1, got {n!r}")
        if buckets is not None and (isinstance(buckets, bool) or not isinstance(buckets, int) or buckets < 1):
            raise ValueError(f"LetterNgrams: expected an int buckets >= 1, got {buckets!r}")
        if len(boundary) > 1:
            raise ValueError(f"LetterNgrams: boundary is one character or none, got {boundary!r}")
        self.n, self.buckets, self.boundary = n, buckets, boundary
        self._letters = {c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz" + boundary)}
        self.size = buckets or len(self._letters) ** n

    def __call__(self, word: str) -> list[str]:
        """The n-grams, from left to right; a word shorter than n is its own only one."""
        word = self.boundary + check_text("LetterNgrams", word).lower() + self.boundary
        if len(word) <= self.n:
            return [word] if word else []
        return [word[i : i + self.n] for i in range(len(word) - self.n + 1)]

    def ids(self, word: str) -> list[int]:
        """The ids of the n-grams, 0 to ``size - 1``."""
        grams = self(word)
        if self.buckets:
            return [_fnv1a(g) % self.buckets for g in grams]
        found = []
        for gram in grams:
            if len(gram) == self.n and all(c in self._letters for c in gram):
                number = 0
                for c in gram:
                    number = number * len(self._letters) + self._letters[c]
                found.append(number)
        return found

    def vector(self, word: str) -> np.ndarray:
        """How often each n-gram occurs: float32 [size]."""
        return np.bincount(np.asarray(self.ids(word), np.int64), minlength=self.size).astype(np.float32)


def _fnv1a(text: str) -> int:
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value
