"""Interrupted and resumed runs end with the same weights, bit for bit."""

import csv
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from clearprop.errors import DataError
from clearprop.train import (
    Callback,
    Checkpoint,
    CSVLog,
    TrainingError,
    load_checkpoint,
    save_checkpoint,
)

EPOCHS = 6


class Interrupt(Callback):
    def __init__(self, epoch, batch):
        self.at = (epoch, batch)

    def on_batch_end(self, trainer):
        if (trainer.epoch, trainer.batch) == self.at:
            signal.raise_signal(signal.SIGINT)


class Never(Interrupt):
    """An Interrupt in name, so that the callbacks are the same, which does nothing."""

    def __init__(self):
        super().__init__(-1, -1)


Never.__name__ = "Interrupt"


def state_of(trainer):
    return {k: v.detach().numpy().copy() for k, v in trainer.model.state_dict().items()}


def without_time(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.mark.parametrize(("epoch", "batch"), [(1, 1), (2, 3), (3, 5), (4, 6), (6, 6)])
def test_resumed_run_ends_like_an_uninterrupted_one(make, problem, tmp_path, epoch, batch):
    straight = make([Never(), Checkpoint(tmp_path / "a")])
    expected = straight.fit(*problem, epochs=EPOCHS, batch_size=16, seed=1)

    file = tmp_path / "b"
    first = make([Interrupt(epoch, batch), Checkpoint(file, every_epochs=None)])
    assert (
        first.fit(*problem, epochs=EPOCHS, batch_size=16, seed=1).stopped == "interrupted"
    ) or epoch == EPOCHS
    second = make([Never(), Checkpoint(file)])
    history = second.fit(*problem, epochs=EPOCHS, batch_size=16, seed=1, resume=file)

    assert without_time(history) == without_time(expected)
    assert second.callbacks[2].rows == straight.callbacks[2].rows
    for name, value in state_of(straight).items():
        np.testing.assert_array_equal(value, state_of(second)[name])


def test_resuming_a_finished_run_changes_nothing(make, problem, tmp_path):
    first = make([Checkpoint(tmp_path / "c")])
    first.fit(*problem, epochs=3, seed=1)
    second = make([Checkpoint(tmp_path / "c")])
    assert len(second.fit(*problem, epochs=3, seed=1, resume=tmp_path / "c")) == 3
    for name, value in state_of(first).items():
        np.testing.assert_array_equal(value, state_of(second)[name])


def test_a_failing_write_leaves_the_checkpoint_before_it(make, problem, tmp_path, monkeypatch):
    file = tmp_path / "c"
    trainer = make([Checkpoint(file)])
    trainer.fit(*problem, epochs=1, seed=1)
    before = file.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        trainer.callbacks[-1].save(trainer)
    assert file.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_metrics_csv_has_each_epoch_once_after_resuming(make, problem, tmp_path):
    log = tmp_path / "metrics.csv"
    first = make([CSVLog(log), Checkpoint(tmp_path / "c", every_epochs=2, every_seconds=None)])
    first.fit(*problem, epochs=2, seed=1)
    # A run that was killed after the line of epoch 3 and within that of epoch 4.
    with open(log, "a") as file:
        file.write(log.read_text().splitlines()[-1].replace("2,", "3,", 1) + "\n4,0.12")
    second = make([CSVLog(log), Checkpoint(tmp_path / "c")])
    history = second.fit(*problem, epochs=5, seed=1, resume=tmp_path / "c")
    with open(log, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == history["epoch"]
    assert [float(row["val_loss"]) for row in rows] == history["val_loss"]


def test_every_seconds_saves_within_an_epoch(make, problem, tmp_path):
    file = tmp_path / "c"
    checkpoint = Checkpoint(file, every_seconds=0.0, every_epochs=None)
    positions = []

    class Look(Callback):
        def on_backward_end(self, trainer):
            if trainer.batch:
                positions.append(load_checkpoint(file)["batches"]["position"])

    make([Look(), checkpoint]).fit(*problem, epochs=1, batch_size=30)
    assert positions == [1, 2]


def test_checkpoint_of_other_callbacks_is_refused(make, problem, tmp_path):
    make([Checkpoint(tmp_path / "c")]).fit(*problem, epochs=1)
    with pytest.raises(TrainingError, match="build it as it was"):
        make([Interrupt(9, 9)]).fit(*problem, epochs=2, resume=tmp_path / "c")


@pytest.mark.parametrize("kept", [0, 7, 100, 0.5, 0.999])
def test_truncated_checkpoint_is_one_clear_error(make, problem, tmp_path, kept):
    file = tmp_path / "c"
    make([Checkpoint(file)]).fit(*problem, epochs=1)
    data = file.read_bytes()
    file.write_bytes(data[: int(kept if kept >= 1 else kept * len(data))])
    with pytest.raises(DataError, match="cut off or damaged"):
        load_checkpoint(file)


def test_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(DataError, match=r"there is no file .*nothing"):
        load_checkpoint(tmp_path / "nothing")


def test_checkpoint_gives_back_what_was_saved(tmp_path):
    state = {
        "a": [1, 2.5, None, True, "text", (3, 4)],
        "numbers": {0: {"step": np.float32(0.1)}, 1: {"v": np.arange(6.0).reshape(2, 3).T}},
        "bits": np.arange(3, dtype=np.uint8),
        "infinite": float("inf"),
    }
    save_checkpoint(tmp_path / "c", state)
    back = load_checkpoint(tmp_path / "c")
    assert back["a"] == state["a"]
    assert back["infinite"] == float("inf")
    assert list(back["numbers"]) == [0, 1]
    assert back["numbers"][0]["step"] == float(np.float32(0.1))
    np.testing.assert_array_equal(back["numbers"][1]["v"], state["numbers"][1]["v"])
    assert back["bits"].dtype == np.uint8


def test_checkpoint_refuses_what_only_pickle_could_keep(tmp_path):
    with pytest.raises(TypeError, match="/a is a set"):
        save_checkpoint(tmp_path / "c", {"a": {1, 2}})


# ---------------------------------------------------------------------- kill -9
SCRIPT = """
import sys, time
import clearprop as cp
from clearprop import nn, optim
from clearprop.train import *

class Slow(Callback):
    def on_batch_end(self, trainer):
        time.sleep(0.002)

folder = sys.argv[1]
cp.manual_seed(0)
x = cp.rand(200, 4)
y = (x[:, 0] > x[:, 1]).long()
model = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Dropout(0.3), nn.Linear(64, 2))
optimizer = optim.Adam(model.parameters(), lr=0.01)
trainer = Trainer(model, nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"], callbacks=[
    Slow(), EarlyStopping(50), CSVLog(folder + "/metrics.csv"),
    Checkpoint(folder + "/checkpoint", every_seconds=0.005)])
import os
print("ready", flush=True)
resume = folder + "/checkpoint"
trainer.fit((x[:160], y[:160]), (x[160:], y[160:]), epochs=12, batch_size=8, seed=0,
            resume=resume if os.path.exists(resume) else None)
save_checkpoint(folder + "/final", dict(model.state_dict()))
"""
SECONDS = 0.9  # about what the script takes after "ready"


def run_script(folder, wait=None):
    """Run to the end, or kill -9 after a while; whether it ended by itself."""
    folder.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    if wait is not None:
        time.sleep(wait)
        process.kill()
    process.communicate()
    return process.returncode == 0


def killed_again_and_again(tmp_path, kills):
    chance = random.Random(11)
    assert run_script(tmp_path / "straight")
    killed = 0
    for i in range(200):
        if killed == kills:
            break
        folder = tmp_path / f"run{i}"
        for _ in range(3):  # up to three kills of one run
            if killed < kills and not run_script(folder, chance.uniform(0, SECONDS / 2)):
                killed += 1
                if (folder / "checkpoint").exists():
                    load_checkpoint(folder / "checkpoint")  # whole at any moment
        assert run_script(folder)
        expected = load_checkpoint(tmp_path / "straight" / "final")
        final = load_checkpoint(folder / "final")
        for name, value in expected.items():
            np.testing.assert_array_equal(value.numpy(), final[name].numpy())
        with open(folder / "metrics.csv", newline="") as file:
            assert [int(row["epoch"]) for row in csv.DictReader(file)] == list(range(1, 13))
    assert killed == kills


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_kill_9_and_resume_ends_with_the_same_weights(tmp_path):
    killed_again_and_again(tmp_path, kills=3)


@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_kill_9_twenty_times(tmp_path):
    killed_again_and_again(tmp_path, kills=20)
