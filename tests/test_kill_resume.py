"""``kill -9`` at random moments of a training run: every resumed run ends with the weights of the unbroken one.

The number of kills is 4, or that of the environment variable FASTNN_KILLS (50 for the record). Run as a script, this
file is the training run: ``python test_kill_resume.py CHECKPOINT`` trains (or resumes) and prints the SHA-256.
"""

import hashlib
import os
import random
import subprocess
import sys
import threading
import time

EPOCHS, STEPS = 3, 3 * 12


def train(checkpoint):
    """Dropout, batch statistics, shuffling by threads, momentum, a schedule and validation: all there is to lose."""
    import numpy as np

    import fastnn
    from fastnn import nn
    from fastnn.data import DataLoader, TensorDataset
    from fastnn.optim import Adam
    from fastnn.optim.lr_scheduler import InverseTimeLR
    from fastnn.train import Callback, EarlyStopping, Trainer

    fastnn.manual_seed(1)
    rng = np.random.RandomState(0)
    x, y = rng.randn(384, 64).astype(np.float32), rng.randint(0, 10, 384)
    data = TensorDataset(fastnn.from_numpy(x), fastnn.from_numpy(y))
    model = nn.Sequential(
        nn.Linear(64, 256), nn.BatchNorm1d(256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, 128), nn.Dropout(0.2),
        nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip
    optimizer = Adam(model.parameters(), lr=0.003)

    class Tell(Callback):
        def on_batch_end(self, trainer, logs):
            print(trainer.step, flush=True)
            time.sleep(0.01)

    trainer = Trainer(
        model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], scheduler=InverseTimeLR(optimizer, 0.1),
        clip_norm=1.0, callbacks=[EarlyStopping("val_loss", patience=10, restore_best=False), Tell()],
        checkpoint=checkpoint or None, checkpoint_every=2, progress=False,
    )  # fmt: skip
    loader = DataLoader(data, 32, shuffle=True, seed=3, num_workers=2)
    history = trainer.fit(loader, DataLoader(data, 128), epochs=EPOCHS, resume="auto" if checkpoint else False)
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + value.detach().numpy().tobytes())
    digest.update(repr({k: v for k, v in history.items() if k != "seconds"}).encode())
    print("sha256", digest.hexdigest(), flush=True)


def start(*arguments):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=env
    )


def finish(process):
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return out.split("sha256 ")[1].strip()


def test_kill_and_resume(tmp_path):
    from fastnn.train import load_checkpoint

    expected = finish(start(""))
    rng = random.Random(int(os.environ.get("FASTNN_KILLS_SEED", 0)))
    kills, run, total = 0, 0, int(os.environ.get("FASTNN_KILLS", 4))
    while kills < total:
        run += 1
        path = tmp_path / f"run{run}" / "checkpoint.safetensors"
        path.parent.mkdir()
        reached = 0
        for _ in range(min(rng.randint(1, 2), total - kills)):
            process = start(path)
            line = process.stdout.readline()  # it trains now; the pauses alone take 10 ms a step
            time.sleep(rng.uniform(0, 0.015 * (STEPS - reached)))
            process.kill()
            rest = process.communicate()[0]
            kills += 1
            if path.exists():  # a whole file, and one that is not older than the last
                step = load_checkpoint(path)["step"]
                assert step >= reached
                reached = step
            told = [int(s) for s in (line + rest).split() if s.isdigit()]
            assert reached >= max(told, default=0) - 3, "steps were lost that should have been in the checkpoint"
        assert finish(start(path)) == expected, f"run {run}"


def test_a_reader_sees_whole_files_only(tmp_path):
    """Reads while another thread overwrites: always one of the states that were written, complete."""
    import numpy as np

    from fastnn import io

    path = tmp_path / "x.safetensors"
    io.save_safetensors({"x": np.zeros(50_000)}, path)
    done = threading.Event()

    def write():
        for i in range(1, 40):
            io.save_safetensors({"x": np.full(50_000 + i, float(i))}, path)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set() or reads < 5:
        x = io.load_safetensors(path)[0]["x"]
        assert (x == x[0]).all() and x.size == 50_000 + int(x[0])
        reads += 1
    writer.join()


if __name__ == "__main__":
    train(sys.argv[1])
