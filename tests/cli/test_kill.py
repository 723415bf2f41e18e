"""kill -9 of `clearprop train` at any moment: no file is torn, and --resume ends with the same
weights.
"""

import multiprocessing
import os
import random
import sys
import time

import numpy as np
import pytest

from clearprop.cli import main
from clearprop.serialization import load_safetensors
from clearprop.train import load_checkpoint, session

OPTIONS = ["iris", "--epochs", "40", "--patience", "40", "--hidden", "16", "--batch-size", "16"]
OPTIONS += ["--eager", "--out"]
SECONDS = 0.4  # less than such a run takes once its first checkpoint is there


def command(cwd, *arguments):
    """The command, which saves as often as it can: a kill hits the writing of a checkpoint, too."""
    keep = session.Checkpoint
    session.Checkpoint = lambda path, **_: keep(path, every_seconds=0.02, every_epochs=None)
    os.chdir(cwd)
    main(["train", "--quiet", *map(str, arguments)])


def starter():
    """A function that starts the command in a process of its own, forked from one that has
    imported everything.
    """
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["clearprop.cli", "clearprop.train.session"])

    def start(*arguments):
        process = processes.Process(target=command, args=arguments)
        process.start()
        return process

    return start


def ended(process):
    process.join()
    return process.exitcode == 0


def kill_and_resume(cwd, kills):
    """One run after the other, each killed up to three times, until `kills` have hit."""
    start, chance, killed, number = starter(), random.Random(7), 0, 0
    assert ended(start(cwd, *OPTIONS, "straight"))
    (straight,) = (cwd / "straight").iterdir()
    wanted, _ = load_safetensors(straight / "model.safetensors")
    while killed < kills:
        number += 1
        out = cwd / f"run{number}"
        process = start(cwd, *OPTIONS, out.name)
        while not any(out.glob("*/config.json")):
            assert process.is_alive()
            time.sleep(0.002)
        (folder,) = out.iterdir()
        for _ in range(min(3, kills - killed)):
            while process.is_alive() and not (folder / "checkpoint.safetensors").exists():
                time.sleep(0.002)
            time.sleep(chance.uniform(0, SECONDS))
            process.kill()
            if ended(process):
                break  # it was done before
            killed += 1
            if (folder / "checkpoint.safetensors").exists():  # whole at any moment
                load_checkpoint(folder / "checkpoint.safetensors")
            process = start(cwd, "--resume", folder)
        assert ended(process)
        got, _ = load_safetensors(folder / "model.safetensors")
        assert list(got) == list(wanted)
        for name, value in wanted.items():
            np.testing.assert_array_equal(got[name].numpy(), value.numpy())
        epochs = [line.split(",")[0] for line in (folder / "metrics.csv").read_text().splitlines()]
        assert epochs == ["epoch", *map(str, range(1, 41))]


pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no kill -9 on this system")


def test_kill_9_of_the_command_and_resume_end_with_the_same_weights(tmp_path):
    kill_and_resume(tmp_path, kills=4)


@pytest.mark.nightly
def test_kill_9_of_the_command_twenty_times(tmp_path):
    kill_and_resume(tmp_path, kills=20)
