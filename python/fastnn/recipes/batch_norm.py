"""batch-norm: what normalising hidden values does, on a network of three hidden layers that recognises clothes.

The same network with and without it, from the same start, at a small and at a large learning rate. A second picture
follows the inputs of the last hidden layer: without batch norm their distribution drifts while the layers before them
learn (covariate shift), with it only gamma and beta move it. Last, a bias in front of batch norm is added and changes
nothing: its mean is subtracted again, so its gradient is 0.

    fastnn train batch-norm --data-dir DATA
"""

import numpy as np

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader, TensorDataset
from fastnn.datasets import FashionMNIST
from fastnn.recipes import _common
from fastnn.train import Callback, Trainer

NAME = "batch-norm"
DEFAULTS = dict(epochs=6, batch_size=128, resume=False)
DEPTH, WIDTH, IMAGES = 3, 64, 12000
RATES = {"small": 0.01, "large": 0.3}


def build_model(normalise, bias=False):
    """Sigmoid layers, which saturate; with batch norm the bias in front of it can go."""
    layers, inputs = [], 784
    for _ in range(DEPTH):
        layers.append(nn.Linear(inputs, WIDTH, bias=bias or not normalise))
        if normalise:
            layers.append(nn.BatchNorm1d(WIDTH))
        layers.append(nn.Sigmoid())
        inputs = WIDTH
    return nn.Sequential(*layers, nn.Linear(inputs, 10))


class Watch(Callback):
    """Quantiles of what the last hidden layer's sigmoid is given, for the same images after every epoch."""

    def __init__(self, images):
        self.images, self.quantiles = images, []

    def on_epoch_end(self, trainer, logs):
        trainer.model.eval()
        with fastnn.no_grad():
            z = nn.Sequential(*list(trainer.model)[:-2])(self.images).cpu().numpy()
        trainer.model.train()
        self.quantiles.append(np.quantile(z, [0.05, 0.25, 0.5, 0.75, 0.95]))


def train(args, normalise, lr, data, test):
    fastnn.manual_seed(args.seed)  # the same start for all
    model = build_model(normalise)
    watch = Watch(test.x[:500])
    trainer = Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=lr, momentum=0.9),
                      metrics=["accuracy"], callbacks=[watch], progress=False)  # fmt: skip
    history = trainer.fit(DataLoader(data, args.batch_size, shuffle=True), DataLoader(test, 1000), epochs=args.epochs)
    if trainer.interrupted:
        raise KeyboardInterrupt
    return model, history, watch.quantiles


def redundant_bias(data):
    """The largest gradient of a bias in front of batch norm, and of the weight beside it."""
    model = build_model(True, bias=True)
    nn.functional.cross_entropy(model(data.x[:256]), data.y[:256]).backward()
    return abs(model[0].bias.grad.cpu().numpy()).max(), abs(model[0].weight.grad.cpu().numpy()).max()


def main(args):
    out = _common.start(args)
    whole, test = (FashionMNIST(train=t, data_dir=args.data_dir) for t in (True, False))
    data = TensorDataset(whole.x[:IMAGES], whole.y[:IMAGES])
    curves, drifts, results = {}, {}, {}
    for size, lr in RATES.items():
        for normalise in (False, True):
            name = f"{'with' if normalise else 'without'} batch norm, lr {lr:g}"
            model, history, drifts[name] = train(args, normalise, lr, data, test)
            curves[name] = history["loss"]
            accuracy = history["val_accuracy"][-1]
            print(f"  {name:<30} loss {history['loss'][-1]:.3f}   test accuracy {accuracy:.2%}")
            results[f"test_accuracy_{'with' if normalise else 'without'}_{size}"] = accuracy
    norm = model[1]
    gamma, beta = norm.weight.detach().cpu().numpy(), norm.bias.detach().cpu().numpy()
    print(
        f"  gamma {gamma.min():.2f} to {gamma.max():.2f}, beta {beta.min():.2f} to {beta.max():.2f} in the first layer"
    )
    results["bias_gradient"], results["weight_gradient"] = map(float, redundant_bias(whole))
    print(f"  largest gradient of a bias in front: {results['bias_gradient']:.1e}, of its weight "
          f"{results['weight_gradient']:.1e}")  # fmt: skip
    if not args.no_plots:
        draw(curves, drifts, out)
    return results


def draw(curves, drifts, out):
    from fastnn.train.plots import PALETTE, new_figure, plot_curves, save_figure

    plot_curves(curves, out / "losses.png", xlabel="epoch", ylabel="training loss", title="three sigmoid layers")
    figure, axes = new_figure(4.2 * len(drifts), 3.8, 1, len(drifts))
    for i, (ax, (name, quantiles)) in enumerate(zip(axes.flat, drifts.items())):
        q = np.array(quantiles)
        x = np.arange(1, len(q) + 1)
        ax.fill_between(x, q[:, 0], q[:, 4], color=PALETTE[i], alpha=0.15)
        ax.fill_between(x, q[:, 1], q[:, 3], color=PALETTE[i], alpha=0.3)
        ax.plot(x, q[:, 2], color=PALETTE[i])
        ax.set_title(name, fontsize=10)
        ax.set_xlabel("epoch")
    axes[0, 0].set_ylabel("input of the last hidden sigmoid\n(5, 25, 50, 75, 95 %)")
    save_figure(figure, out / "shift.png")


if __name__ == "__main__":
    print(main(_common.options(NAME, DEFAULTS).parse_args()))
