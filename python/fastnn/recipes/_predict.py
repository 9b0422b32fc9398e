"""What ``fastnn predict`` does: read an image, array or table, ask the recipe's model, tell the likeliest classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import fastnn
from fastnn.datasets.folder import IMAGE_SUFFIXES, open_image
from fastnn.train import load_weights


def predict(module, weights: str, path: str, top: int):
    """Lines of text, one for each example in the file ``path``."""
    examples = read(path, module.INPUT)
    model = module.build_model()
    model.load_state_dict(load_weights(weights))
    model.eval()
    with fastnn.no_grad():
        scores = model(module.prepare(examples))
        p = scores.sigmoid().cpu().numpy()[:, 0] if scores.shape[1] == 1 else scores.softmax(-1).cpu().numpy()
    p = np.stack([1 - p, p], axis=1) if p.ndim == 1 else p
    classes = module.CLASSES
    for i, row in enumerate(p):
        order = np.argsort(-row, kind="stable")[:top]
        answer = ", ".join(f"{classes[k]} {row[k]:.1%}" for k in order)
        yield answer if len(p) == 1 else f"{i}: {answer}"


def read(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """The examples in a file as [N, *shape], images scaled to 0..1.

    Raises
    ------
    FileNotFoundError
    ValueError
        A kind of file or a shape that does not fit; the message names both.
    """
    file = Path(path)
    if file.is_dir():
        raise FileNotFoundError(f"{path}: is a folder, expected a file")
    if not file.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if file.suffix.lower() in IMAGE_SUFFIXES:
        return read_image(file, shape)[None]
    if file.suffix == ".npy":
        with open(file, "rb") as stream:
            try:
                array = np.load(stream, allow_pickle=False)
            except (ValueError, EOFError) as error:
                raise ValueError(f"{path}: cannot be read as npy ({error})") from None
    elif file.suffix in (".csv", ".txt"):
        array = read_table(file)
    else:
        raise ValueError(f"{path}: expected an image, a .npy array or a .csv table, got '{file.suffix or 'no suffix'}'")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{path}: expected numbers, got {array.dtype}")
    size = int(np.prod(shape))
    if array.size == 0 or array.size % size or (array.shape[-len(shape) :] != shape and array.shape[-1] != size):
        raise ValueError(
            f"{path}: expected examples of shape {list(shape)} (or rows of {size}), got {list(array.shape)}"
        )
    scale = 255 if array.dtype == np.uint8 else 1
    values = array.astype(np.float32) / scale
    if not np.isfinite(values).all():
        raise ValueError(f"{path}: holds NaN or infinite values")
    if len(shape) > 1 and (values.min() < 0 or values.max() > 1):
        raise ValueError(
            f"{path}: images have values from 0 to 1 (or uint8 from 0 to 255), got {values.min():g} to "
            f"{values.max():g}; divide them by their largest possible value first"
        )
    return values.reshape(-1, *shape)


def read_table(file: Path) -> np.ndarray:
    """Rows of numbers, separated by commas (.csv) or blanks (.txt)."""
    separator = "," if file.suffix == ".csv" else None
    rows = [line.split(separator) for line in file.read_text().splitlines() if line.strip()]
    try:
        return np.array([[float(number) for number in row] for row in rows], np.float32).reshape(len(rows), -1)
    except ValueError as error:
        raise ValueError(f"{file}: expected a table of numbers with rows of one length ({error})") from None


def read_image(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    """An image resized to ``shape``, [H, W] grey or [H, W, 3], values 0 to 1.

    The grey recipes learnt bright ink on a dark ground; a picture with a bright border (ink on paper) is inverted.
    """
    if len(shape) < 2:
        raise ValueError(f"{file}: this recipe takes points of {shape[0]} numbers (.npy or .csv), not images")
    image = open_image(file, "L" if len(shape) == 2 else "RGB")
    array = np.asarray(image.resize((shape[1], shape[0]), 2), np.float32) / 255  # 2: bilinear
    if len(shape) == 2:
        border = np.concatenate([array[0], array[-1], array[:, 0], array[:, -1]])
        if border.mean() > 0.5:
            array = 1 - array
    return array
