"""Text: Shakespeare, names, dinosaurs, Wikipedia articles, film reviews."""

from __future__ import annotations

import gzip
import hashlib
import zlib

import numpy as np

from .._arrays import to_tensor
from ..data import Dataset
from ._files import find_file

__all__ = ["TinyShakespeare", "Names", "Dinosaurs", "WikiText2", "RtPolarity", "SST2"]


def _read(name, folder, names, data_dir, why) -> str:
    """The text of a file, packed or not; ValueError for one that is damaged or not UTF-8."""
    path = find_file(name, folder, names, data_dir, why_local=why)
    try:
        raw = path.read_bytes()
        return (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8")
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{name}: {path} is damaged: {error}") from None


def _check_split(name, split, known):
    if split not in known:
        raise ValueError(f"{name}: split must be one of {', '.join(known)}, got {split!r}")


class _Lines(Dataset):
    """A list of strings, one an item."""

    name, file, why = "", "", ""

    def __init__(self, data_dir=None):
        self.items = [s for s in _read(self.name, "text_char", (self.file,), data_dir, self.why).splitlines() if s]
        if not self.items:
            raise ValueError(f"{self.name}: {self.file} holds no name")

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class Names(_Lines):
    """Given names, one an item, letters a-z (karpathy/makemore, MIT): 27,228 here of the 32,033 there.

    Parameters
    ----------
    data_dir : str or Path, optional
        Folder with ``names.txt`` or with a subfolder ``text_char`` that holds it. Default: FASTNN_DATA, then the cache;
        see `fastnn.datasets`.

    Attributes
    ----------
    items : list of str

    Raises
    ------
    FileNotFoundError
        With the paths that were tried.
    """

    name, file = "Names", "names.txt"
    why = "take names.txt from github.com/karpathy/makemore"


class Dinosaurs(_Lines):
    """Names of dinosaurs, as the course has them (1,383 of 1,536), mixed case; arguments are those of `Names`."""

    name, file = "Dinosaurs", "dinos.txt"
    why = "take dinos.txt from the course's exercise, or from github.com/jianchao-li/deep-learning"


class TinyShakespeare:
    """Plays of Shakespeare in one text of 1,115,394 characters, 65 different ones (karpathy/char-rnn).

    Parameters
    ----------
    split : {"all", "train", "val"}
        The whole text, its first 90 %, or the rest.
    data_dir : str or Path, optional
        Folder with ``tinyshakespeare.txt`` (or ``input.txt``), or with a subfolder ``text_char`` that holds it.

    Attributes
    ----------
    text : str
        Of the split.
    vocabulary : fastnn.text.Vocabulary
        The characters of the whole text, sorted.
    ids : Tensor int64 [n]
    """

    name = "TinyShakespeare"

    def __init__(self, split: str = "all", data_dir=None):
        from ..text import Vocabulary

        _check_split(self.name, split, ("all", "train", "val"))
        text = _read(self.name, "text_char", ("tinyshakespeare.txt", "input.txt"), data_dir,
                     "take data/tinyshakespeare/input.txt from github.com/karpathy/char-rnn")  # fmt: skip
        self.vocabulary = Vocabulary.build([list(text)], unk=None, pad=None, bos=None, eos=None, order="token")
        cut = int(0.9 * len(text))
        self.text = {"all": text, "train": text[:cut], "val": text[cut:]}[split]
        self.ids = to_tensor(self.vocabulary.encode(self.text))

    def __len__(self):
        return len(self.text)


class WikiText2:
    """Wikipedia articles as words, rare ones replaced by ``<unk>`` (Merity 2016, CC BY-SA).

    Only the original validation part is at hand (213,886 words). It is cut here by articles: of every ten, eight are
    for training, one to validate, one to test.

    Parameters
    ----------
    split : {"train", "val", "test", "all"}
    data_dir : str or Path, optional
        Folder with ``wikitext2_valid.txt.gz`` (or ``wiki.valid.tokens``, ``valid.txt``), or with a subfolder
        ``text_word`` that holds it.

    Attributes
    ----------
    tokens : list of str
        Words and, at the end of every line, ``<eos>``.
    articles : int
    """

    name = "WikiText2"

    def __init__(self, split: str = "train", data_dir=None):
        _check_split(self.name, split, ("train", "val", "test", "all"))
        text = _read(self.name, "text_word",
                     ("wikitext2_valid.txt.gz", "wikitext2_valid.txt", "wiki.valid.tokens", "valid.txt"), data_dir,
                     "take wordlanguage_model/data/wikitext-2/valid.txt from github.com/pytorch/examples")  # fmt: skip
        articles: list[list[str]] = []
        for line in text.splitlines():
            words = line.split()
            title = len(words) > 2 and words[0] == words[-1] == "=" and words[1] != "=" and words[-2] != "="
            if title or not articles:
                articles.append([])
            articles[-1] += [*words, "<eos>"]
        part = {"train": range(8), "val": [8], "test": [9], "all": range(10)}[split]
        chosen = [a for i, a in enumerate(articles) if i % 10 in part]
        self.articles = len(chosen)
        self.tokens = [word for article in chosen for word in article]

    def __len__(self):
        return len(self.tokens)


class _Labelled(Dataset):
    """Sentences and their labels; an item is ``(sentence, label)``."""

    classes = ["negative", "positive"]

    def __init__(self, rows):
        self.sentences = [s for s, _ in rows]
        self.labels = np.asarray([y for _, y in rows], np.int64)

    def __len__(self):
        return len(self.sentences)

    def __getitem__(self, index):
        return self.sentences[index], int(self.labels[index])


def _table(name, folder, names, data_dir, why):
    rows = []
    for number, line in enumerate(_read(name, folder, names, data_dir, why).splitlines(), 1):
        label, tab, sentence = line.partition("\t")
        if number == 1 and label == "label":
            continue
        if not tab or label not in ("0", "1"):
            raise ValueError(f"{name}: line {number} is not 0 or 1, a tab and a sentence")
        rows.append((sentence.strip(), int(label)))
    return rows


def _part(sentence: str) -> int:
    """0 to 9, from the letters of a sentence: the same for its copies, and wherever it stands in the file."""
    letters = "".join(c for c in sentence.lower() if c.isalnum())
    return hashlib.sha256(letters.encode()).digest()[0] % 10


class RtPolarity(_Labelled):
    """Sentences of film reviews, positive or negative (Pang and Lee 2005): 9,063 here of 10,662.

    The set has no parts of its own. Here a sentence's letters decide (SHA-256): eight tenths are for training, one to
    validate, one to test, and copies of a sentence are in the same part.

    Parameters
    ----------
    split : {"train", "val", "test", "all"}
    data_dir : str or Path, optional
        Folder with ``rt_polarity.tsv.gz`` (a label 0 or 1, a tab and a sentence a line), or with a subfolder
        ``sentiment`` that holds it.

    Attributes
    ----------
    sentences : list of str
    labels : ndarray int64 [N]
    """

    name = "RtPolarity"

    def __init__(self, split: str = "train", data_dir=None):
        _check_split(self.name, split, ("train", "val", "test", "all"))
        rows = _table(self.name, "sentiment", ("rt_polarity.tsv.gz", "rt_polarity.tsv"), data_dir,
                      "make it from rt-polaritydata of cs.cornell.edu/people/pabo/movie-review-data")  # fmt: skip
        part = {"train": range(8), "val": [8], "test": [9], "all": range(10)}[split]
        super().__init__([row for row in rows if _part(row[0]) in part])


class SST2(_Labelled):
    """Stanford Sentiment Treebank with two classes (Socher 2013), as in GLUE: 67,349 training phrases, 436 sentences of
    the dev part. The reviews are those of `RtPolarity`: do not train on one to test on the other.

    Parameters
    ----------
    split : {"train", "dev"}
    data_dir : str or Path, optional
        Folder with ``sst2_train.tsv.gz`` and ``sst2_dev.tsv.gz``, or with a subfolder ``sentiment`` that holds them.

    Attributes
    ----------
    sentences : list of str
    labels : ndarray int64 [N]
    """

    name = "SST2"

    def __init__(self, split: str = "train", data_dir=None):
        _check_split(self.name, split, ("train", "dev"))
        super().__init__(
            _table(self.name, "sentiment", (f"sst2_{split}.tsv.gz", f"sst2_{split}.tsv"), data_dir,
                   "take SST-2 from gluebenchmark.com/tasks, as label, tab, sentence")
        )  # fmt: skip
