"""Files of word vectors: word2vec's text and binary format, GloVe's text; files of questions about words.

Nothing in such a file is run, and sizes are checked before memory is taken for them.
"""

from __future__ import annotations

import gzip
import os

import numpy as np

from ..io import atomic_write

__all__ = ["load_analogies", "load_glove", "load_pairs", "load_word2vec", "save_glove", "save_word2vec"]

LONGEST_WORD = 10_000  # bytes: more than that is a file of another kind
LONGEST_HEADER = 100


def _open(path):
    return gzip.open(path, "rb") if os.fspath(path).endswith(".gz") else open(path, "rb")


def save_word2vec(vectors, path, binary: bool = False) -> None:
    """Write a `KeyedVectors` in the format of the original word2vec.

    Text: a line with V and D, then one for each word, the numbers with nine digits (which give float32 back exactly).
    Binary: the same first line, then the word, a blank, D float32 (little-endian) and a line end for each.
    """
    with atomic_write(path) as file:
        file.write(f"{len(vectors)} {vectors.vector_size}\n".encode())
        for word, row in zip(vectors.index_to_key, vectors.vectors):
            name = _writable(word)
            if binary:
                file.write(name + b" " + row.astype("<f4").tobytes() + b"\n")
            else:
                file.write(name + _digits(row) + b"\n")


def save_glove(vectors, path) -> None:
    """Write a `KeyedVectors` in GloVe's text format: word2vec's without the first line."""
    with atomic_write(path) as file:
        for word, row in zip(vectors.index_to_key, vectors.vectors):
            file.write(_writable(word) + _digits(row) + b"\n")


def _digits(row) -> bytes:
    return "".join(f" {x:.9g}" for x in row.tolist()).encode()


def _writable(word: str) -> bytes:
    if not word or any(c in word for c in " \n\r\t"):
        raise ValueError(f"a word in such a file has at least one letter and no blanks, got {word!r}")
    return word.encode()


def load_word2vec(path, binary: bool = False, limit: int | None = None):
    """Words and vectors of a word2vec file (also compressed, ``.gz``).

    Parameters
    ----------
    path : str or Path
    binary : bool
    limit : int, optional
        Only the first so many words.

    Returns
    -------
    (list of str, float32 [V, D])

    Raises
    ------
    ValueError
        The file is cut off, has other numbers than its first line says, a word twice, or is of another kind.
    """
    with _open(path) as file:
        header = file.readline(LONGEST_HEADER).split()
        if len(header) != 2 or not all(h.isdigit() for h in header):
            raise ValueError(f"{path}: expected the numbers of words and columns first, got {header[:3]}")
        count, size = int(header[0]), int(header[1])
        if size < 1:
            raise ValueError(f"{path}: expected at least one column, got {size}")
        wanted = count if limit is None else min(count, _at_least_zero(limit))
        reader = _read_binary if binary else _read_text
        words, rows = reader(path, file, wanted, size)
        if wanted == count and not binary and file.readline(LONGEST_HEADER).strip():
            raise ValueError(f"{path}: there are more than the {count} words that its first line says")
    return _whole(path, words, rows, size)


def load_glove(path, limit: int | None = None):
    """Words and vectors of a GloVe text file, as `load_word2vec`; the first line says how many columns there are."""
    with _open(path) as file:
        wanted = None if limit is None else _at_least_zero(limit)
        words, rows = _read_text(path, file, wanted, None)
    if not rows:
        raise ValueError(f"{path}: there are no vectors")
    return _whole(path, words, rows, rows[0].size)


def _at_least_zero(limit):
    if limit < 0:
        raise ValueError(f"expected limit >= 0, got {limit}")
    return limit


def _whole(path, words, rows, size):
    if len(set(words)) != len(words):
        seen: set = set()
        twice = next(w for w in words if w in seen or seen.add(w))
        raise ValueError(f"{path}: the word {twice!r} is there twice")
    return words, np.concatenate(rows).reshape(-1, size) if rows else np.zeros((0, size), np.float32)


def _decode(path, number, word: bytes, what: str = "word") -> str:
    try:
        return word.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: {what} {number} is not UTF-8: {word[:40]!r}") from error


def _read_text(path, file, wanted, size):
    words, rows = [], []
    while wanted is None or len(words) < wanted:
        line = file.readline()
        if not line:
            if wanted is None or size is None:
                break
            raise ValueError(f"{path}: cut off: expected {wanted} words, got {len(words)}")
        parts = line.rstrip().split(b" ")
        if parts == [b""]:
            raise ValueError(f"{path}: line {len(words) + 1} of the vectors is empty")
        if size is None:
            size = len(parts) - 1
            if size < 1:
                raise ValueError(f"{path}: expected a word and numbers, got {line[:40]!r}")
        if len(parts) != size + 1:
            raise ValueError(f"{path}: word {len(words) + 1} has {len(parts) - 1} numbers instead of {size}")
        try:
            rows.append(np.array([float(p) for p in parts[1:]], np.float32))
        except ValueError as error:
            raise ValueError(f"{path}: word {len(words) + 1}: {error}") from None
        words.append(_decode(path, len(words) + 1, parts[0]))
    return words, rows


def _read_binary(path, file, wanted, size):
    words, rows, buffer, at = [], [], b"", 0
    while len(words) < wanted:
        blank = buffer.find(b" ", at, at + LONGEST_WORD)
        end = blank + 1 + 4 * size
        if blank < 0 or end > len(buffer):
            if blank < 0 and len(buffer) - at >= LONGEST_WORD:
                raise ValueError(f"{path}: word {len(words) + 1} has no end: is it the binary format?")
            more = file.read(1 << 20)
            if not more:
                raise ValueError(f"{path}: cut off: expected {wanted} words, got {len(words)}")
            buffer, at = buffer[at:] + more, 0
            continue
        word = buffer[at:blank].lstrip(b"\n")
        if not word:
            raise ValueError(f"{path}: word {len(words) + 1} is empty: is it the binary format?")
        words.append(_decode(path, len(words) + 1, word))
        rows.append(np.frombuffer(buffer, "<f4", size, blank + 1).astype(np.float32))
        at = end
    return words, rows


def load_analogies(path) -> dict:
    """Questions `a b c d` in sections that begin with ``: name`` (questions-words.txt)."""
    sections: dict = {}
    current = None
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            parts = _decode(path, number, line, "line").split()
            if not parts:
                continue
            if parts[0] == ":":
                current = sections.setdefault(" ".join(parts[1:]), [])
            elif len(parts) != 4 or current is None:
                raise ValueError(f"{path}: line {number}: expected four words in a section, got {parts[:6]}")
            else:
                current.append(tuple(parts))
    return sections


def load_pairs(path) -> list:
    """Pairs of words and people's scores: ``word TAB word TAB score`` lines; those with ``#`` are remarks."""
    pairs = []
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            parts = _decode(path, number, line, "line").split()
            if not parts or parts[0].startswith("#"):
                continue
            try:
                pairs.append((parts[0], parts[1], float(parts[2])))
            except (IndexError, ValueError):
                raise ValueError(f"{path}: line {number}: expected two words and a score, got {parts[:4]}") from None
    return pairs
