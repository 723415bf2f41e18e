"""The command line run in this process, in a folder of its own."""

import pytest
from cli_help import homes

from clearprop.cli import main


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """`run("train", ...)` gives (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments):
        code = 0
        try:
            main([str(a) for a in arguments])
        except SystemExit as end:
            code = end.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def table(tmp_path):
    homes().to_csv(tmp_path / "homes.csv", index=False)
    return tmp_path / "homes.csv"
