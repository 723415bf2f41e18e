"""The commands from the outside: what they write, what they say."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_help import SMALL, homes, only_run

import clearprop as cp
from clearprop import nn


def test_version(run):
    assert run("--version") == (0, f"clearprop {cp.__version__}\n", "")


@pytest.mark.parametrize("command", [(), ("train",), ("predict",), ("env",)])
def test_help_teaches_with_an_example(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "clearprop" in out


def test_env_lists_every_switch_and_package(run):
    code, out, _ = run("env", "--plain")
    assert code == 0
    assert out.startswith(f"clearprop\t{cp.__version__}\n")
    for variable, *_ in cp.flags.rows():
        assert f"\n{variable}\t" in out
    assert "\nnumpy\t" in out


def test_set_changes_a_switch_for_the_command(run):
    with cp.flags(strict=0):
        _, out, _ = run("--set", "strict=1", "env", "--plain")
    assert "CLEARPROP_STRICT\t1\t--set" in out


def test_train_digits_writes_the_run_folder(run):
    code, out, err = run("train", "digits", *SMALL)
    assert (code, err) == (0, "")
    folder = only_run("digits")
    for name in ("config.json", "metrics.csv", "model.safetensors", "report.html"):
        assert (folder / name).stat().st_size > 0
    assert "held-out accuracy" in out
    config = json.loads((folder / "config.json").read_text())
    assert config["options"]["hidden"] == [8]
    assert len((folder / "metrics.csv").read_text().splitlines()) == 4


def test_a_second_run_has_a_folder_of_its_own(run):
    for _ in range(2):
        run("train", "iris", *SMALL, "--quiet")
    first, second = sorted(p.name for p in Path("runs").iterdir())
    assert (first[-2:], second[-2:]) == ("-1", "-2")


def test_quiet_says_nothing(run):
    assert run("train", "iris", *SMALL, "--quiet") == (0, "", "")


def test_train_and_predict_a_regression_table(run, table):
    code, out, _ = run("train", table, "--target", "price", "--epochs", "60", "--out", "runs")
    assert code == 0
    assert "regression: the target 'price' holds numbers that are not whole" in out
    run_folder = only_run("homes")
    results = json.loads((run_folder / "results.json").read_text())
    assert results["test_r2"] > 0.9
    new = homes(seed=1)
    new.to_csv("new.csv", index=False)
    code, out, _ = run("predict", run_folder, "new.csv", "--out", "p.csv")
    assert code == 0
    assert "r2 on these rows" in out
    predicted = pd.read_csv("p.csv")["prediction"]
    assert np.corrcoef(predicted, new["price"])[0, 1] > 0.95


def test_train_and_predict_classes_with_probabilities(run, table):
    run("train", table, "--target", "town", *SMALL)
    code, _, _ = run("predict", only_run("homes"), table)
    assert code == 0
    frame = pd.read_csv("predictions.csv")
    names = [f"probability of {c}" for c in ("Bonn", "Mainz", "Ulm")]
    assert list(frame.columns) == ["prediction", *names]
    np.testing.assert_allclose(frame[names].sum(axis=1), 1, rtol=1e-5)
    likeliest = frame[names].to_numpy().argmax(axis=1)
    assert (np.array(["Bonn", "Mainz", "Ulm"])[likeliest] == frame["prediction"]).all()


def test_train_a_network_of_the_user(run, tmp_path):
    (tmp_path / "my_script.py").write_text(
        "from clearprop import nn\n"
        "def build_model(inputs, outputs):\n"
        "    return nn.Sequential(nn.Linear(inputs, 5), nn.Tanh(), nn.Linear(5, outputs))\n"
        "def fixed():\n"
        "    return nn.Linear(64, 10)\n"
    )
    for name in ("build_model", "fixed"):
        assert run("train", f"my_script.py:{name}", "digits", "--epochs", "1")[0] == 0


def test_resume_of_a_finished_run_gives_the_same_model(run):
    run("train", "iris", *SMALL)
    folder = only_run("iris")
    before = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").unlink()
    assert run("train", "--resume", folder)[0] == 0
    assert (folder / "model.safetensors").read_bytes() == before


def test_resume_without_a_checkpoint_starts_again_to_the_same_weights(run):
    run("train", "iris", *SMALL)
    folder = only_run("iris")
    before = (folder / "model.safetensors").read_bytes()
    (folder / "checkpoint.safetensors").unlink()
    code, out, _ = run("train", "--resume", folder)
    assert code == 0
    assert "starting from the beginning" in out
    assert (folder / "model.safetensors").read_bytes() == before


def test_predict_digits_from_a_table_of_pixels(run):
    run("train", "digits", *SMALL)
    digits = cp.data.load_real("digits")
    frame = pd.DataFrame(digits.x.numpy()[:20], columns=list(digits.feature_names))
    frame.to_csv("pixels.csv", index=False)
    assert run("predict", only_run("digits"), "pixels.csv")[0] == 0
    assert len(pd.read_csv("predictions.csv")) == 20


def test_predict_does_not_need_the_table_of_the_run(run, table):
    run("train", table, "--target", "price", *SMALL)
    shutil.copy(table, "other.csv")
    table.unlink()
    assert run("predict", only_run("homes"), "other.csv")[0] == 0


def test_report_escapes_names_that_come_from_data(run, table):
    frame = homes().rename(columns={"area": "<script>alert(1)</script>"})
    frame.to_csv(table, index=False)
    run("train", table, "--target", "town", *SMALL)
    assert "<script>alert(1)" not in (only_run("homes") / "report.html").read_text()


def test_the_network_has_names_for_its_layers():
    from_options = cp.train.network.mlp(4, (8, 6), 3, "tanh", 0.1)
    assert isinstance(from_options, nn.Sequential)
    assert [n for n, _ in from_options.named_children()] == [
        "linear1", "tanh1", "dropout1", "linear2", "tanh2", "dropout2", "output",
    ]  # fmt: skip
