"""transfer-signs: what a network learnt from a million photographs helps it read hands.

SqueezeNet, trained by others on ImageNet, stays frozen: every photograph goes through its layers once, the result is
kept, and only a linear layer on top is trained, which takes a second. Beside it the same layer on bare pixels.

    fastnn train transfer-signs --data-dir DATA      (weights/squeezenet_v1_0_imagenet.npz, signs)
"""

import numpy as np

import fastnn
from fastnn import models, nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.datasets import Signs
from fastnn.models.pretrained import IMAGENET_MEAN_BGR
from fastnn.optim.lr_scheduler import CosineAnnealingLR
from fastnn.recipes import _common, _vision
from fastnn.train import Trainer

NAME = "transfer-signs"
DEFAULTS = dict(epochs=30, batch_size=64, lr=3e-3)
LAYER = "fire5"  # of the frozen network; later layers know dogs and cups, earlier ones edges


class ImageNetColors(nn.Module):
    """Images from 0 to 1 as the published network wants them: blue first, 0 to 255, less the mean."""

    def forward(self, x):
        return x.flip(3) * 255 - fastnn.tensor(np.array(IMAGENET_MEAN_BGR, np.float32))


def frozen_body(data_dir):
    """The layers that stay as they are: images [N, 64, 64, 3] from 0 to 1, at twice their size, to [N, features]."""
    squeeze = models.load_squeezenet("1.0", data_dir)
    names = [name for name, _ in squeeze.named_children()]
    layers = models.freeze(squeeze[: names.index(LAYER) + 1])
    return nn.Sequential(nn.Upsample(scale_factor=2), ImageNetColors(), layers, nn.AdaptiveAvgPool2d(5), nn.Flatten())


def fit_top(args, x, y, x_test, y_test, name):
    """A linear layer on standardised features; the trainer's history and the scores of the test set."""
    mean, std = x.mean(0), x.std(0) + 1e-3
    train, test = (TensorDataset(((a - mean) / std).astype(np.float32), b) for a, b in ((x, y), (x_test, y_test)))
    fastnn.manual_seed(args.seed)
    top = nn.Sequential(nn.Dropout(0.5), nn.Linear(x.shape[1], 6))
    nn.init.zeros_(top[1].weight)
    optimizer = optim.AdamW(top.parameters(), lr=args.lr, weight_decay=0.05)
    trainer = Trainer(top, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"],
                      scheduler=CosineAnnealingLR(optimizer, args.epochs),
                      checkpoint=args.folder / f"checkpoint-{name}.safetensors", progress=not args.quiet)  # fmt: skip
    loader, test_loader = DataLoader(train, args.batch_size, shuffle=True), DataLoader(test, 120)
    history = trainer.fit(loader, test_loader, epochs=args.epochs, resume="auto" if args.resume else False)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return top, history, trainer.predict(test_loader)


def main(args):
    args.folder = out = _common.start(args)
    train, test = (Signs(train=part, data_dir=args.data_dir) for part in (True, False))
    body = frozen_body(args.data_dir)
    x, x_test = (
        models.cached_features(body, part, out / f"features-{name}.safetensors", 32).tensors[0].cpu().numpy()
        for name, part in (("train", train), ("test", test))
    )
    print(f"{len(x)} + {len(x_test)} photographs as {x.shape[1]} features of {LAYER}, kept")

    y, y_test = train.y.cpu().numpy(), test.y.cpu().numpy()
    top, history, scores = fit_top(args, x, y, x_test, y_test, "features")
    _common.save(top, out, NAME)
    pixels, pixels_test = (part.x.cpu().numpy().reshape(len(part), -1) for part in (train, test))
    _, _, bare = fit_top(args, pixels, y, pixels_test, y_test, "pixels")
    if not args.no_plots:
        history.plot(out / "curves.png", title="transfer-signs: a linear layer on frozen features")
        _vision.show_mistakes(NAME, Signs.classes, test, scores, out)
    return {**_vision.result(scores, test), "test_pixels": float((bare.argmax(1) == y_test).mean())}


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
