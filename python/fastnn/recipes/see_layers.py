"""see-layers: what a convolutional network looks at. Filters, activations, saliency and Grad-CAM as pictures.

SqueezeNet with published ImageNet weights and a photograph. The first filters are edges and colours; maps of later
layers answer to ever larger parts; the gradient of the winning score shows which pixels and which regions won.

    fastnn train see-layers --data-dir DATA      (weights/squeezenet_v1_0_imagenet.npz, images/*)
"""

import os
from pathlib import Path

import numpy as np

import fastnn
from fastnn import models
from fastnn.datasets.folder import IMAGE_SUFFIXES
from fastnn.recipes import _common
from fastnn.recipes._predict import read_image
from fastnn.recipes.classify_image import INPUT, prepare

NAME = "see-layers"
DEFAULTS = dict()
MAPS = ("conv1", "fire3", "fire5", "fire9")


def run(model, x, keep):
    """The scores, and the activations of the named layers, all with history."""
    kept = {}
    for name, module in model.named_children():
        if name == "pool10":
            break
        x = module(x)
        if name in keep:
            kept[name] = x
    return x.mean((1, 2)), kept


def saliency(model, image, number):
    """|d score / d pixel|, the largest of the three colours: [H, W] from 0 to 1."""
    x = prepare(image[None]).requires_grad_()
    scores, _ = run(model, x, ())
    scores[0, number].backward()
    size = np.abs(x.grad.cpu().numpy()[0]).max(-1)
    return np.minimum(size / np.percentile(size, 99.5), 1)


def grad_cam(model, image, number, layer="fire9"):
    """Maps of a layer weighed by the mean gradient of the score, what is positive: [H, W] from 0 to 1, image size."""
    scores, kept = run(model, prepare(image[None]), (layer,))
    maps = kept[layer]
    (gradient,) = fastnn.autograd.grad(scores[0, number], [maps])
    weights = gradient.cpu().numpy()[0].mean((0, 1))
    heat = np.maximum(maps.detach().cpu().numpy()[0] @ weights, 0)
    from PIL import Image

    heat = Image.fromarray((heat / max(heat.max(), 1e-12)).astype(np.float32))
    return np.asarray(heat.resize(image.shape[1::-1], Image.Resampling.BICUBIC)).clip(0, 1)


def main(args):
    out = _common.start(args)
    model = models.load_squeezenet("1.0", args.data_dir).requires_grad_(True)
    folder = Path(args.data_dir or os.environ.get("FASTNN_DATA", ".")) / "images"
    files = sorted(f for f in folder.glob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise FileNotFoundError(f"see-layers: no picture in {folder}")
    rows, results = [], {}
    for file in files[:3]:
        image = read_image(file, INPUT)
        with fastnn.no_grad():
            p = model(prepare(image[None])).softmax(-1).cpu().numpy()[0]
        number = int(p.argmax())
        rows.append((f"class {number}, {p[number]:.1%}", image, saliency(model, image, number),
                     grad_cam(model, image, number)))  # fmt: skip
        results[file.stem] = number
    if not args.no_plots:
        draw_filters(model, out)
        draw_maps(model, rows[0][1], out)
        draw_regions(rows, out)
    return results


def draw_filters(model, out):
    """The 96 filters of the first layer, each stretched to the range of colours, red first."""
    from fastnn.train.plots import plot_images

    w = model.conv1.weight.detach().cpu().numpy()[:, :, ::-1].transpose(3, 0, 1, 2)
    bound = np.abs(w).max((1, 2, 3), keepdims=True) + 1e-12
    plot_images(0.5 + 0.5 * w / bound, out / "filters.png", columns=16, title="SqueezeNet: the first layer's filters")


def draw_maps(model, image, out):
    """For some layers, the eight channels that answer most to the picture."""
    from fastnn.train.plots import plot_images

    with fastnn.no_grad():
        _, kept = run(model, prepare(image[None]), MAPS)
    sheet, labels = [], []
    for name in MAPS:
        maps = kept[name].cpu().numpy()[0]
        rows = np.arange(110) * maps.shape[0] // 110  # every map at one size, its cells as squares
        for channel in np.argsort(-maps.mean((0, 1)))[:8]:
            sheet.append(maps[rows][:, rows, channel] / max(maps[..., channel].max(), 1e-12))
            labels.append(f"{name}, {channel}")
    plot_images(np.stack(sheet), out / "maps.png", labels, title="Activations: the channels that answer most")


def draw_regions(rows, out):
    """Picture, saliency and Grad-CAM side by side."""
    from fastnn.train.plots import new_figure, save_figure

    figure, axes = new_figure(8, 2.8 * len(rows), len(rows), 3)
    for row, (title, image, pixels, heat) in zip(axes, rows):
        row[0].imshow(image)
        row[0].set_title(title, fontsize=9)
        row[1].imshow(pixels, cmap="gray")
        row[1].set_title("saliency", fontsize=9)
        row[2].imshow(image)
        row[2].imshow(heat, cmap="inferno", alpha=0.55)
        row[2].set_title("Grad-CAM, fire9", fontsize=9)
        for ax in row:
            ax.axis("off")
    save_figure(figure, out / "regions.png")


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
