"""Pictures from files: any folder of them as a data set, a class each subfolder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .._arrays import require, to_tensor
from ..data import Dataset
from ..data.dataset import normalize_index

__all__ = ["IMAGE_SUFFIXES", "ImageFolder", "open_image"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"})


def open_image(path, mode: str = "RGB", purpose: str = "reading images"):
    """A picture file as a PIL image, wholly read, turned as its camera says.

    Parameters
    ----------
    path : str or Path
    mode : {'RGB', 'L'}
        Colour or grey.
    purpose : str
        First words of the message when Pillow is missing.

    Raises
    ------
    FileNotFoundError
    ImportError
        Without Pillow.
    ValueError
        For a damaged file, one that is no picture, and one that says it is larger than Pillow thinks safe.
    """
    Image, ImageOps = (require(f"PIL.{part}", "recipes", purpose) for part in ("Image", "ImageOps"))
    if mode not in ("RGB", "L"):
        raise ValueError(f"open_image: mode expects 'RGB' or 'L', got {mode!r}")
    with open(path, "rb") as file:
        try:
            with Image.open(file) as image:
                return ImageOps.exif_transpose(image).convert(mode)
        except Image.DecompressionBombError as error:
            raise ValueError(f"{path}: too large to be read as a picture ({error})") from None
        # Decoders let everything through that a damaged file makes them trip over.
        except (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, OverflowError, MemoryError,
                ArithmeticError, AttributeError, NotImplementedError, AssertionError) as error:  # fmt: skip
            raise ValueError(f"{path}: cannot be read as a picture ({type(error).__name__}: {error})") from None


class ImageFolder(Dataset):
    """``root/cat/1.png``, ``root/dog/x/2.jpg``: pictures whose class is the folder below ``root`` that they lie in.

    An item is ``(image, label)``: uint8 ``[H, W, 3]`` and an int; `fastnn.vision.transforms` work on batches of them.
    Files are read when they are asked for: ``DataLoader(..., num_workers=4)`` reads ahead with threads.

    Parameters
    ----------
    root : str or Path
    size : int or (int, int), optional
        Height and width of every image, which batches need; default as in the file. The picture is scaled until it
        covers the size, and its middle cut out.
    grey : bool, default False
        ``[H, W, 1]`` instead.
    transform : callable, optional
        From one image ``[H, W, C]`` (uint8 array) to what an item holds instead.

    Attributes
    ----------
    classes : list of str
        Names of the folders in alphabetical order; a label is the place in it.
    class_to_idx : dict
    samples : list of (Path, int)
    targets : list of int

    Raises
    ------
    FileNotFoundError
        No such folder, no folders in it, or one without pictures.
    ImportError
        Without Pillow.
    ValueError
        From an item: the file is damaged; it is named.
    """

    def __init__(self, root, size=None, grey: bool = False, transform=None):
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise FileNotFoundError(f"ImageFolder: there is no folder {self.root}")
        require("PIL.Image", "recipes", "ImageFolder")
        pair = (size, size) if isinstance(size, (int, np.integer)) else size
        if pair is not None and not (len(pair) == 2 and all(int(n) == n and n >= 1 for n in pair)):
            raise ValueError(f"ImageFolder: size expects (height, width) from 1 on, got {size!r}")
        if transform is not None and not callable(transform):
            raise TypeError(f"ImageFolder: transform expects a function of an image, got {type(transform).__name__}")
        self.size = None if pair is None else (int(pair[0]), int(pair[1]))
        self.grey, self.transform = bool(grey), transform
        self.classes = sorted(p.name for p in self.root.iterdir() if p.is_dir() and not p.name.startswith("."))
        if not self.classes:
            raise FileNotFoundError(f"ImageFolder: {self.root} holds no folders; each is a class, with its pictures")
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples = []
        for name, label in self.class_to_idx.items():
            found = sorted(p for p in (self.root / name).rglob("*") if _is_picture(p))
            if not found:
                known = ", ".join(sorted(IMAGE_SUFFIXES))
                raise FileNotFoundError(f"ImageFolder: {self.root / name} holds no pictures ({known})")
            self.samples += [(p, label) for p in found]
        self.targets = [label for _, label in self.samples]

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        path, label = self.samples[normalize_index(index, len(self), "ImageFolder")]
        image = open_image(path, "L" if self.grey else "RGB", "ImageFolder")
        if self.size is not None:
            image = cover(image, self.size)
        array = np.array(image, np.uint8)
        array = array[..., None] if self.grey else array
        return to_tensor(array) if self.transform is None else self.transform(array), label


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".") and path.is_file()


def cover(image, size: tuple[int, int]):
    """A PIL image scaled until it covers (height, width), and cut to it about its middle."""
    from PIL import Image

    height, width = size
    scale = max(width / image.width, height / image.height)
    new = max(round(image.width * scale), width), max(round(image.height * scale), height)
    image = image if new == image.size else image.resize(new, Image.Resampling.BILINEAR)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))
