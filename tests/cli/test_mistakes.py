"""What the user can put right: one message, no traceback, exit code 2, nothing lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_help import SMALL, homes, only_run

from clearprop.train import load_checkpoint


def refused(answer, *words):
    """Exit code 2, one line on stderr with these words in it."""
    code, _, err = answer
    assert code == 2
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    for word in words:
        assert word in err


def complaint(answer, *words):
    """A usage error: exit code 2, and the words somewhere in its box."""
    code, out, err = answer
    assert code == 2
    text = " ".join((out + err).replace("│", " ").split())
    for word in words:
        assert word in text


def edited(table, row, column, value):
    frame = homes().astype(object)
    frame.loc[row, column] = value
    frame.to_csv(table, index=False)


def test_unknown_set(run):
    refused(run("train", "digit"), "'digit'", "did you mean 'digits'")


def test_missing_target_option_lists_the_columns(run, table):
    refused(run("train", table), "--target", "'area', 'town', 'price'")


def test_missing_target_column(run, table):
    refused(run("train", table, "--target", "prize"), "'prize'", "did you mean 'price'")


def test_missing_file(run):
    refused(run("train", "none.csv", "--target", "y"), "none.csv", "No such file")


def test_broken_line_of_a_table(run, table):
    lines = table.read_text().splitlines()
    lines[7] += ",1"
    table.write_text("\n".join(lines))
    refused(run("train", table, "--target", "price"), "homes.csv", "line 8", "4 fields")


def test_empty_target(run, table):
    edited(table, 3, "price", np.nan)
    refused(run("train", table, "--target", "price"), "line 5", "'price' is empty")


def test_infinite_value(run, table):
    edited(table, 3, "area", "inf")
    refused(run("train", table, "--target", "price"), "line 5", "'area' is infinite")


def test_gaps_in_a_training_table_are_told(run, table):
    edited(table, 3, "area", np.nan)
    code, out, _ = run("train", table, "--target", "price", *SMALL)
    assert code == 0
    assert "column 'area' has 1 empty cell (first: line 5)" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--activation", "rel"), "did you mean 'relu'"),
        (("--optimizer", "adm"), "did you mean 'adam'"),
        (("--loss", "mse"), "cross_entropy"),
    ],
)
def test_unknown_names_in_options(run, options, words):
    refused(run("train", "iris", *options), words)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("train",), "name a data set or a table"),
        (("train", "iris", "wine"), "one data set or table"),
        (("train", "my.py", "iris"), "which function of my.py"),
        (("train", "iris", "--hidden", "8,x"), "not a list of widths"),
        (("train", "iris", "--epochs", "0"), "--epochs"),
        (("train", "--resume", "runs/x", "--lr", "1"), "keeps its options"),
        (("--set", "strict", "env"), "is not FLAG=VALUE"),
        (("--set", "stric=1", "env"), "no flag 'stric'"),
        (("trian",), "No such command 'trian'"),
    ],
)
def test_wrong_usage(run, arguments, words):
    complaint(run(*arguments), words)


@pytest.mark.parametrize(
    ("script", "place", "words"),
    [
        (None, "my.py:build", ("there is no file my.py",)),
        ("def bild(): ...", "my.py:build", ("did you mean 'bild'",)),
        ("def build():\n    return 3", "my.py:build", ("gave a int", "Module")),
        ("def build():\n    return x", "my.py:build", ("line 2", "NameError")),
        ("def build(:", "my.py:build", ("line 1",)),
    ],
)
def test_mistakes_in_the_users_script(run, tmp_path, script, place, words):
    if script is not None:
        (tmp_path / "my.py").write_text(script)
    refused(run("train", place, "iris"), *words)


def test_run_that_is_not_a_run_folder(run, table):
    refused(run("predict", "runs/none", table), "not a run folder")
    Path("empty").mkdir()
    refused(run("predict", "empty", table), "not a run folder")
    refused(run("train", "--resume", "empty"), "not a run folder")


def test_unknown_category_at_predict_time_names_the_row(run, table):
    run("train", table, "--target", "price", *SMALL)
    edited(table, 3, "town", "Bon")
    refused(run("predict", only_run("homes"), table), "line 5", "'Bon'", "did you mean 'Bonn'")


def test_unknown_class_at_predict_time_names_the_row(run, table):
    run("train", table, "--target", "town", *SMALL)
    edited(table, 3, "town", "Bon")
    refused(run("predict", only_run("homes"), table), "line 5", "'Bon'")


def test_gap_at_predict_time_names_the_row(run, table):
    run("train", table, "--target", "price", *SMALL)
    edited(table, 3, "area", np.nan)
    refused(run("predict", only_run("homes"), table), "line 5", "'area' is empty")


def test_missing_column_at_predict_time(run, table):
    run("train", table, "--target", "price", *SMALL)
    homes().drop(columns="area").to_csv(table, index=False)
    refused(run("predict", only_run("homes"), table), "'area'")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_truncated_model_file(run, table, kept):
    run("train", table, "--target", "price", *SMALL)
    model = only_run("homes") / "model.safetensors"
    data = model.read_bytes()
    model.write_bytes(data[: int(kept * len(data))])
    refused(run("predict", only_run("homes"), table), "model.safetensors", "damaged")


def test_changed_table_cannot_be_resumed(run, table):
    run("train", table, "--target", "price", *SMALL)
    edited(table, 3, "area", 1.0)
    refused(run("train", "--resume", only_run("homes")), "has changed")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_disk_for_predictions(run, table):
    run("train", table, "--target", "price", *SMALL)
    refused(run("predict", only_run("homes"), table, "--out", "/dev/full"), "No space left")


COMMAND = [sys.executable, "-c", "from clearprop.cli import main; main()"]
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
from clearprop.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no RLIMIT_FSIZE")
def test_no_room_for_the_checkpoint_keeps_what_was_written(tmp_path):
    command = [sys.executable, "-c", LIMITED, "train", "digits", "--epochs", "2"]
    answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    refused((answer.returncode, answer.stdout, answer.stderr), "checkpoint", "too large")
    (folder,) = (tmp_path / "runs").iterdir()
    assert {p.name for p in folder.iterdir()} >= {"config.json", "metrics.csv"}
    assert not [p for p in folder.iterdir() if p.suffix == ".part"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_command_says_how_to_go_on_and_ends_the_same(tmp_path, number):
    options = ["iris", "--epochs", "300", "--patience", "300", "--batch-size", "8"]
    process = subprocess.Popen(
        [*COMMAND, "train", *options], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not process.stdout.readline().startswith("epoch 1/"):
        pass
    process.send_signal(number)
    _, err = process.communicate()
    (folder,) = (tmp_path / "runs").iterdir()
    assert process.returncode == 128 + number
    assert f"clearprop train --resume runs/{folder.name}" in err
    saved = load_checkpoint(folder / "checkpoint.safetensors")
    assert 0 < len(saved["history"]) < 300

    more = ["train", "--resume", f"runs/{folder.name}"]
    assert subprocess.run([*COMMAND, *more], cwd=tmp_path, capture_output=True).returncode == 0
    straight = [*COMMAND, "train", *options, "--out", "straight"]
    assert subprocess.run(straight, cwd=tmp_path, capture_output=True).returncode == 0
    (other,) = (tmp_path / "straight").iterdir()
    assert (other / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
