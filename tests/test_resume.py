"""A run that is stopped anywhere, by Ctrl-C too, and continued has the bits of an unbroken one."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from harness import prompt
from training import Stop, data, loader, plain, same, trainer, weights

import fastnn
from fastnn.data import DataLoader
from fastnn.optim.lr_scheduler import InverseTimeLR, StepLR
from fastnn.train import Callback, EarlyStopping


def full_options():
    return {"metrics": ["accuracy"], "clip_norm": 1.0, "record_steps": True}


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("at", [1, 5, 6, 7, 12, 17])
def test_resume_has_the_same_bits(tmp_path, at, workers):
    """Stopped after any batch (also the last of an epoch) and continued by fresh objects of another seed."""
    valid = DataLoader(data(seed=5), 30, shuffle=True, seed=3)

    def make(checkpoint=None, callbacks=()):
        t = trainer(checkpoint, callbacks=[EarlyStopping(patience=50), *callbacks], **full_options())
        t.scheduler = InverseTimeLR(t.optimizer, 0.5)
        return t

    whole = make()
    expected = whole.fit(loader(), valid, epochs=3)
    path = tmp_path / "run.safetensors"
    first = make(path, [Stop(at)])
    history = first.fit(loader(workers=workers), valid, epochs=3)
    assert history.stopped == "test" and first.step == at
    fastnn.manual_seed(12345)
    second = make(path, [Stop(0)])
    got = second.fit(loader(seed=99, workers=workers), valid, epochs=3, resume=True)
    assert plain(got) == plain(expected) and got.step_losses == expected.step_losses
    assert same(weights(second.model), weights(whole.model)) and second.step == 18


@pytest.mark.parametrize("at", [4, 6])
def test_continue_in_the_same_process(at):
    whole = trainer()
    whole.fit(loader(), epochs=2)
    t = trainer(callbacks=[Stop(at)])
    batches = loader()
    t.fit(batches, epochs=2)
    t.fit(batches, epochs=2)
    assert same(weights(t.model), weights(whole.model))


def test_resume_with_a_plain_list_of_batches(tmp_path):
    batches = list(DataLoader(data(), 16))
    whole = trainer()
    whole.fit(batches, epochs=2)
    first = trainer(tmp_path / "c", callbacks=[Stop(8)])
    first.fit(batches, epochs=2)
    second = trainer(tmp_path / "c", callbacks=[Stop(0)])
    second.fit(batches, epochs=2, resume="auto")
    assert same(weights(second.model), weights(whole.model))


def test_resume_of_a_finished_run_changes_nothing(tmp_path):
    first = trainer(tmp_path / "c")
    history = first.fit(loader(), epochs=2)
    second = trainer(tmp_path / "c")
    assert plain(second.fit(loader(), epochs=2, resume=True)) == plain(history)
    assert same(weights(first.model), weights(second.model))
    whole = trainer()
    whole.fit(loader(), epochs=4)
    second.fit(loader(), epochs=4, resume=True)
    assert same(weights(second.model), weights(whole.model))


def test_resume_errors(tmp_path):
    path = tmp_path / "c"
    with pytest.raises(ValueError, match="no checkpoint path"):
        trainer().fit(loader(), epochs=1, resume=True)
    with pytest.raises(FileNotFoundError):
        trainer(path).fit(loader(), epochs=1, resume=True)
    trainer(path).fit(loader(), epochs=1, resume="auto")
    with pytest.raises(ValueError, match="metrics"):
        trainer(path, metrics=["accuracy"]).fit(loader(), epochs=1, resume=True)
    t = trainer(path)
    t.scheduler = StepLR(t.optimizer, 1)
    with pytest.raises(ValueError, match="schedule"):
        t.fit(loader(), epochs=1, resume=True)
    with pytest.raises(ValueError, match="items"):
        trainer(path).fit(loader(n=80), epochs=1, resume=True)


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from training import *

class Slow(Callback):
    def on_batch_end(self, trainer, logs):
        print("batch", flush=True)
        time.sleep({sleep})

t = trainer({path!r}, callbacks=[Slow()])
t.progress = True
try:
    t.fit(loader(), epochs=1000)
except KeyboardInterrupt:
    print("second", flush=True)
    raise SystemExit(3)
print("interrupted", t.interrupted, t.history.stopped, flush=True)
"""


def start_script(path, sleep, batches):
    code = SCRIPT.format(tests=os.path.dirname(__file__), path=str(path), sleep=sleep)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    p = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True, env=env)
    for _ in range(batches):
        assert p.stdout.readline() == "batch\n" or p.poll() is None
    return p


def test_ctrl_c_stops_with_a_checkpoint(tmp_path):
    path = tmp_path / "run.safetensors"
    p = start_script(path, 0.01, 9)
    sent = time.perf_counter()
    p.send_signal(signal.SIGINT)
    for line in p.stdout:
        if line.startswith("interrupted"):
            break
    took = time.perf_counter() - sent
    assert line == "interrupted True interrupted\n" and p.wait(20) == 0
    assert took < prompt(), f"{took:.2f} s"
    t = trainer(path, callbacks=[Callback()])
    t.load_checkpoint(path, loader())
    assert t.step >= 7 and t.step == t.epoch * 6 + t.batch
    whole = trainer(callbacks=[Callback()])
    whole.fit(loader(), epochs=t.epoch + 1)
    t.fit(loader(), epochs=t.epoch + 1, resume=path)
    assert same(weights(t.model), weights(whole.model))


def test_second_ctrl_c_raises_at_once(tmp_path):
    p = start_script(tmp_path / "c", 5, 1)
    p.send_signal(signal.SIGINT)
    time.sleep(0.3)
    sent = time.perf_counter()
    p.send_signal(signal.SIGINT)
    assert p.wait(20) == 3 and time.perf_counter() - sent < 3


def test_ctrl_c_and_resume_of_a_recipe(tmp_path):
    """`fastnn train digits`, stopped and continued, ends with the file of weights of an unbroken run."""
    pytest.importorskip("sklearn")

    def start(folder, *options):
        command = [
            sys.executable,
            "-m",
            "fastnn",
            "train",
            "digits",
            "--epochs",
            "4",
            "--no-plots",
            "--out",
            tmp_path / folder,
        ]
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
        )

    p = start("stopped")
    while not p.stdout.readline().startswith("epoch 2/4"):
        assert p.poll() is None
    sent = time.perf_counter()
    p.send_signal(signal.SIGINT)
    assert any("stopped after epoch" in line for line in p.stdout)
    took = time.perf_counter() - sent
    assert took < prompt(), f"{took:.2f} s"
    p.communicate(timeout=20)
    assert p.returncode not in (0, None)
    assert not (tmp_path / "stopped" / "model.safetensors").exists()
    for p in (start("stopped", "--resume"), start("whole")):
        p.communicate(timeout=120)
        assert p.returncode == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert weights[0] == weights[1]


def test_signal_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    trainer().fit(loader(), epochs=1)
    assert signal.getsignal(signal.SIGINT) is before
