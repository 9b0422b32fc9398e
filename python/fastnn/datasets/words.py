"""Text to learn vectors of words from, and questions to ask them."""

from __future__ import annotations

from ._files import find_file
from .text import _read

__all__ = ["Text8", "analogies", "word_pairs"]


class Text8:
    """Wikipedia as words of a-z (Mahoney's text8, CC BY-SA): here its first 1,171,946 words, or the whole file.

    Parameters
    ----------
    data_dir : str or Path, optional
        Folder with ``text8_prefix.txt.gz`` (or ``text8``), or with a subfolder ``text_word`` that holds it.
    sentence : int, default 1000
        The text has no sentences; it is cut into pieces of so many words.

    Attributes
    ----------
    words : list of str
    sentences : list of list of str

    Raises
    ------
    FileNotFoundError
        With the paths that were tried.
    ValueError
        For a damaged file.
    """

    name = "Text8"

    def __init__(self, data_dir=None, sentence: int = 1000):
        if sentence < 1:
            raise ValueError(f"Text8: expected pieces of at least 1 word, got {sentence}")
        text = _read(self.name, "text_word", ("text8_prefix.txt.gz", "text8_prefix.txt", "text8.gz", "text8"), data_dir,
                     "unpack mattmahoney.net/dc/text8.zip")  # fmt: skip
        self.words = text.split()
        self.sentences = [self.words[i : i + sentence] for i in range(0, len(self.words), sentence)]

    def __len__(self):
        return len(self.words)


def analogies(data_dir=None) -> dict:
    """19,544 questions "a is to b as c is to d" in 14 sections (Mikolov 2013, Apache-2.0): section to (a, b, c, d)."""
    from ..text import load_analogies

    path = find_file("analogies", "text_word", ("questions-words.txt",), data_dir,
                     why_local="take questions-words.txt from github.com/tmikolov/word2vec")  # fmt: skip
    return load_analogies(path)


def word_pairs(name: str = "ws353", data_dir=None) -> list:
    """Pairs of words and how alike people find them: "ws353" (Finkelstein 2002) or "rg65" (Rubenstein 1965)."""
    from ..text import load_pairs

    files = {"ws353": "EN-WS-353-ALL.txt", "rg65": "EN-RG-65.txt"}
    if name not in files:
        raise ValueError(f"word_pairs: expected one of {', '.join(files)}, got {name!r}")
    path = find_file("word_pairs", "text_word", (files[name],), data_dir,
                     why_local=f"take {files[name]} from github.com/mfaruqui/eval-word-vectors")  # fmt: skip
    return load_pairs(path)
