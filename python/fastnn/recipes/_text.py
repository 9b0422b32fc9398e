"""What the recipes with text share: training on a stream and on padded sentences, entities and their scores."""

from __future__ import annotations

import fastnn
from fastnn import nn, optim
from fastnn.data import DataLoader
from fastnn.optim.lr_scheduler import WarmupCosine
from fastnn.recipes import _common
from fastnn.text import BucketSampler, Carried, StreamLoader, pad_batch, perplexity
from fastnn.train import EarlyStopping, Trainer


def fit(args, name, model, loader, val_loader, *, plain=None, callbacks=(), weight_decay=0.0, clip_norm=1.0, **options):
    """Adam with clipped gradients, its rate rising and then falling as a cosine; the history.

    Weights of ``plain`` (default: of ``model``) are saved. Options are those of the Trainer.
    """
    optimizer = optim.AdamW(model.parameters(), lr=args.lr, weight_decay=weight_decay)
    steps = args.epochs * len(loader)
    scheduler = WarmupCosine(optimizer, max(steps // 20, 1), steps)
    trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, clip_norm=clip_norm, scheduler=scheduler,
                      schedule_per="step", checkpoint=args.folder / "checkpoint.safetensors",
                      callbacks=list(callbacks), progress=not args.quiet, **options)  # fmt: skip
    history = trainer.fit(loader, val_loader, epochs=args.epochs, resume="auto" if args.resume else False)
    if trainer.interrupted:  # Ctrl-C: the checkpoint is written, and --resume continues from it
        raise KeyboardInterrupt
    _common.save(model if plain is None else plain, args.folder, name)
    if not args.no_plots:
        history.plot(args.folder / "curves.png", title=f"{name}: learning curves")
    return trainer, history


def train_stream(args, name, model, train, val, length, **options):
    """Truncated backpropagation through time over a long text, the state carried from window to window.

    Returns a function ``score(ids)``, the mean loss over a text in nats a token, and the history.
    """
    carried = Carried(model, args.batch_size)
    loader = StreamLoader(train, args.batch_size, length, shift=True, seed=args.seed)
    best = EarlyStopping(patience=args.epochs)  # stops never, keeps the weights of the best epoch
    trainer, history = fit(
        args, name, carried, loader, StreamLoader(val, 20, length), plain=model, callbacks=[best], **options
    )
    return lambda ids: trainer.evaluate(StreamLoader(ids, 20, length))["loss"], history


def sentences(items, batch_size, *, shuffle_seed=None, multiple=8):
    """A loader of padded batches of like lengths; a common grid of lengths, so that captured steps are few."""
    sampler = None
    if shuffle_seed is not None:
        sampler = BucketSampler([len(item[0]) for item in items], batch_size, shuffle_seed)
    return DataLoader(items, batch_size, sampler=sampler, collate_fn=pad_batch(multiple=multiple))


def tag(model, rows, batch_size=200):
    """The labels a tagger gives to each token of each row of ids."""
    model.eval()
    labels = []
    with fastnn.no_grad():
        for x, lengths, _ in sentences([(row, [0] * len(row)) for row in rows], batch_size):
            best = model(x, lengths).argmax(-1).cpu().numpy()
            labels += [b[:n].tolist() for b, n in zip(best, lengths.tolist())]
    model.train()
    return labels


def spans(labels):
    """The entities of a sentence with B-, I- and O labels: a set of (first, end, kind)."""
    found, start, kind = set(), None, None
    for i, label in enumerate([*labels, "O"]):
        if kind is not None and label != f"I-{kind}":
            found.add((start, i, kind))
            kind = None
        if label[0] == "B" or label[0] == "I" and kind is None:
            start, kind = i, label[2:]
    return found


def span_scores(truth, guess):
    """Precision, recall and F1 over the entities of many sentences."""
    truth, guess = [spans(t) for t in truth], [spans(g) for g in guess]
    right = sum(len(t & g) for t, g in zip(truth, guess))
    precision, recall = right / max(sum(map(len, guess)), 1), right / max(sum(map(len, truth)), 1)
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-12)}


def report(loss):
    """A loss in nats a token with its perplexity."""
    return f"{loss:.4f} nats a token, perplexity {perplexity(loss):.2f}"
