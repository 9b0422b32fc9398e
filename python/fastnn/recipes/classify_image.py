"""classify-image: what is in a picture? SqueezeNet v1.0 with published ImageNet weights names its five best guesses.

Nothing is trained: the weights are read by name, put where ``fastnn predict`` finds them, and asked about the pictures
in the data folder. Classes are shown by number; a file ``imagenet_classes.txt`` in the data folder, one name a line,
gives them names.

    fastnn train classify-image --data-dir DATA       (weights/squeezenet_v1_0_imagenet.npz, images/*)
    fastnn predict classify-image any_picture.jpg --top 5
"""

import os
from pathlib import Path

import numpy as np

import fastnn
from fastnn import models
from fastnn.datasets.folder import IMAGE_SUFFIXES
from fastnn.models.pretrained import IMAGENET_MEAN_BGR
from fastnn.recipes import _common
from fastnn.recipes._predict import read_image

NAME = "classify-image"
DEFAULTS = dict()
INPUT = (227, 227, 3)
CLASSES = [f"class {i}" for i in range(1000)]


def build_model():
    return models.SqueezeNet("1.0")


def prepare(images):
    """Colour images [N, 227, 227, 3] with values 0 to 1 as the network wants them: BGR, 0 to 255, less the mean."""
    x = np.asarray(images, np.float32).reshape(len(images), *INPUT)[..., ::-1] * np.float32(255)
    return fastnn.tensor(np.ascontiguousarray(x - np.array(IMAGENET_MEAN_BGR, np.float32)))


def class_names(folder):
    """The names in the data folder, or numbers."""
    file = Path(folder or os.environ.get("FASTNN_DATA", "")) / "imagenet_classes.txt"
    names = file.read_text(encoding="utf-8").splitlines() if file.is_file() else CLASSES
    if len(names) != 1000:
        raise ValueError(f"{file}: expected 1000 names, got {len(names)}")
    return names


def classify(model, image, names, top=5):
    """``[(name, number, probability), ...]`` of an image [227, 227, 3], the likeliest first."""
    with fastnn.no_grad():
        p = model(prepare(image[None])).softmax(-1).cpu().numpy()[0]
    return [(names[k], int(k), float(p[k])) for k in np.argsort(-p, kind="stable")[:top]]


def main(args):
    out = _common.start(args)
    model, names = models.load_squeezenet("1.0", args.data_dir), class_names(args.data_dir)
    _common.save(model, out, NAME)
    folder = Path(args.data_dir or os.environ.get("FASTNN_DATA", ".")) / "images"
    files = sorted(f for f in folder.glob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        print(f"no pictures in {folder}; ask about any with: fastnn predict {NAME} PICTURE")
    results, shown, captions = {}, [], []
    for file in files:
        image = read_image(file, INPUT)
        guesses = classify(model, image, names)
        print(f"{file.name}: " + ", ".join(f"{name} {p:.1%}" for name, _, p in guesses))
        results[file.stem] = f"class {guesses[0][1]}, {guesses[0][2]:.3f}"
        shown.append(image[::2, ::2])
        captions.append("\n".join(f"{name} {p:.0%}" for name, _, p in guesses[:2]))
    if shown and not args.no_plots:
        from fastnn.train.plots import plot_images

        plot_images(np.stack(shown), out / "pictures.png", captions, columns=3, title="SqueezeNet's two best guesses")
    return results


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
