#!/usr/bin/env python
"""The word-level language model of the recipe word-lm, and the same in PyTorch: perplexity and time beside each other.

    python bench/word_lm.py --data-dir DATA [--epochs 12] [--threads 2]

Same articles, vocabulary, weights at the start, windows in the same order, learning rates, clipping and decay; only the
draws of dropout differ. First, without dropout, the losses of the first steps are compared.
"""

import argparse
import sys
import time

import numpy as np
import torch

import fastnn
from fastnn import convert, nn, optim
from fastnn.optim.lr_scheduler import WarmupCosine
from fastnn.recipes import word_lm
from fastnn.text import Carried, StreamLoader
from fastnn.train import EarlyStopping, LambdaCallback, Trainer


class TorchModel(torch.nn.Module):
    """fastnn.text.LanguageModel with tied embeddings, in PyTorch."""

    def __init__(self, vocab_size, units, dropout):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocab_size, units)
        self.rnn = torch.nn.LSTM(units, units, batch_first=True)
        self.bias = torch.nn.Parameter(torch.zeros(vocab_size))
        self.drop = torch.nn.Dropout(dropout)

    def forward(self, x, state):
        y, state = self.rnn(self.drop(self.embedding(x)), state)
        return torch.nn.functional.linear(self.drop(y), self.embedding.weight, self.bias), state


def torch_batches(loader):
    return [tuple(torch.from_numpy(part.numpy().copy()) for part in (x, y)) for x, _, y in loader]


def torch_loss(model, batches, update=None):
    """Mean loss over the tokens of a text; `update(loss)` after each window trains."""
    total, count, state = 0.0, 0, None
    for x, y in batches:
        scores, state = model(x, state)
        state = tuple(s.detach() for s in state)
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), y.flatten())
        if update:
            update(loss)
        total, count = total + loss.item() * y.numel(), count + y.numel()
    return total / count


def train_torch(state, dropout, loader, val, args, schedule):
    """The mean training and validation loss of every epoch, the best weights' model, seconds."""
    model = TorchModel(state["embedding.weight"].shape[0], word_lm.UNITS, dropout)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=1e-4)
    steps = 0

    def update(loss):
        nonlocal steps
        for group in optimizer.param_groups:
            group["lr"] = schedule(steps)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1

    losses, seconds, best = [], 0.0, None
    for epoch in range(args.epochs):
        loader.set_epoch(epoch)
        batches = torch_batches(loader)
        start = time.perf_counter()
        model.train()
        train = torch_loss(model, batches, update)
        seconds += time.perf_counter() - start
        model.eval()
        with torch.no_grad():
            losses.append((train, torch_loss(model, val)))
        print(f"  PyTorch epoch {epoch + 1}: {losses[-1][0]:.4f}, validation {losses[-1][1]:.4f}", flush=True)
        if losses[-1][1] == min(v for _, v in losses):
            best = {k: v.clone() for k, v in model.state_dict().items()}
    model.load_state_dict(best)
    return losses, model, seconds


def train_fastnn(state, vocab_size, dropout, loader, val, args):
    model = word_lm.LanguageModel(vocab_size, word_lm.UNITS, word_lm.UNITS, dropout=dropout, tie_weights=True)
    convert.from_torch(model, state)
    carried = Carried(model, args.batch_size)
    optimizer = optim.AdamW(carried.parameters(), lr=args.lr, weight_decay=1e-4)
    total = args.epochs * len(loader)
    scheduler = WarmupCosine(optimizer, max(total // 20, 1), total)
    best = EarlyStopping(patience=args.epochs)

    def tell(_, logs):
        print(f"  fastnn epoch {logs['epoch']}: {logs['loss']:.4f}, validation {logs['val_loss']:.4f}", flush=True)

    trainer = Trainer(carried, nn.CrossEntropyLoss(), optimizer, clip_norm=1.0, scheduler=scheduler,
                      schedule_per="step", progress=False,
                      callbacks=[best, LambdaCallback(on_epoch_end=tell)])  # fmt: skip
    seconds = 0.0
    step = trainer._train_batch

    def timed(batch):
        nonlocal seconds
        start = time.perf_counter()
        value = step(batch)
        seconds += time.perf_counter() - start
        return value

    trainer._train_batch = timed
    loader.set_epoch(0)
    history = trainer.fit(loader, val, epochs=args.epochs)
    return list(zip(history["loss"], history["val_loss"])), trainer, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir")
    parser.add_argument("--epochs", type=int, default=word_lm.DEFAULTS["epochs"])
    parser.add_argument("--batch-size", type=int, default=word_lm.DEFAULTS["batch_size"])
    parser.add_argument("--lr", type=float, default=word_lm.DEFAULTS["lr"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    fastnn.set_num_threads(args.threads)
    torch.set_num_threads(args.threads)
    fastnn.manual_seed(args.seed)
    torch.manual_seed(args.seed)
    vocabulary, (train, val, test) = word_lm.data(args.data_dir)
    loader = StreamLoader(train, args.batch_size, word_lm.LENGTH, shift=True, seed=args.seed)
    state = convert.to_torch(word_lm.build_model(len(vocabulary)))
    total = args.epochs * len(loader)
    scheduler = WarmupCosine(optim.SGD([nn.Parameter(fastnn.zeros(1))], lr=args.lr), max(total // 20, 1), total)

    def schedule(t):
        return scheduler.lr_at(t, args.lr)

    # The same program: without dropout the first steps have the same losses.
    model = TorchModel(len(vocabulary), word_lm.UNITS, 0.0)
    model.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    ours = word_lm.LanguageModel(len(vocabulary), word_lm.UNITS, word_lm.UNITS, tie_weights=True)
    convert.from_torch(ours, state)
    x, _, y = next(iter(loader))
    theirs = torch_loss(model, [tuple(torch.from_numpy(t.numpy().copy()) for t in (x, y))])
    own = nn.CrossEntropyLoss()(ours(x)[0], y).item()
    print(
        f"{len(train)} words, {len(vocabulary)} different; loss before training: fastnn {own:.6f}, PyTorch {theirs:.6f}"
    )
    if not np.isclose(own, theirs, rtol=1e-5):
        sys.exit("the models differ")

    rows = []
    val_loader, test_loader = (StreamLoader(part, 20, word_lm.LENGTH) for part in (val, test))
    losses, trainer, seconds = train_fastnn(state, len(vocabulary), word_lm.DROPOUT, loader, val_loader, args)
    scores = [trainer.evaluate(part)["loss"] for part in (val_loader, test_loader)]
    rows.append(("fastnn", scores, seconds))
    losses, model, seconds = train_torch(state, word_lm.DROPOUT, loader, torch_batches(val_loader), args, schedule)
    model.eval()
    with torch.no_grad():
        scores = [torch_loss(model, torch_batches(part)) for part in (val_loader, test_loader)]
    rows.append(("PyTorch", scores, seconds))
    print(f"{'':10} {'validation':>12} {'test':>12} {'s / epoch':>12}   (perplexities of the best epoch's weights)")
    for name, (v, t), seconds in rows:
        print(f"{name:10} {np.exp(v):12.2f} {np.exp(t):12.2f} {seconds / args.epochs:12.2f}")


if __name__ == "__main__":
    main()
