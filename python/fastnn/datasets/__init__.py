"""Data sets that train something real.

Files are looked for in the `data_dir` argument if given, else in the folder named by the environment variable
FASTNN_DATA, then in the cache (FASTNN_CACHE, by default ``~/.cache/fastnn``); what may be distributed is downloaded.
"""

from ._files import cache_dir
from .digits import Digits
from .folder import ImageFolder
from .idx import read_idx
from .images import CIFAR10, CatNonCat, HappyHouse, Signs
from .mnist import MNIST, FashionMNIST
from .text import SST2, Dinosaurs, Names, RtPolarity, TinyShakespeare, WikiText2
from .toy import circles, moons, planar, xor
from .words import Text8, analogies, word_pairs

__all__ = [
    "CIFAR10", "CatNonCat", "Digits", "Dinosaurs", "FashionMNIST", "HappyHouse", "ImageFolder", "MNIST", "Names",
    "RtPolarity", "SST2", "Signs", "Text8", "TinyShakespeare", "WikiText2", "analogies", "cache_dir", "circles",
    "moons", "planar", "read_idx", "word_pairs", "xor",
]  # fmt: skip
