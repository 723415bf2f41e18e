"""docs/coverage.md is what tools/coverage.py writes, and no name of PyTorch's is missing."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[1] / "tools"


def test_no_name_is_missing_and_the_page_is_current():
    run = subprocess.run(
        [sys.executable, TOOLS / "coverage.py", "--check"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_a_missing_name_is_found(monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    spec = importlib.util.spec_from_file_location("coverage_tool", TOOLS / "coverage.py")
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.has("clearprop", "torch.nn", "Linear")
    assert tool.has("clearprop", "torch.Tensor", "backward")
    assert not tool.has("clearprop", "torch.nn", "Linnear")
    assert not tool.has("clearprop", "torch.nothing", "Linear")
    monkeypatch.setitem(tool.NAMES, "torch.nn", {"M": "Linear Linnear"})
    text, missing = tool.page()
    assert missing == ["torch.nn.Linnear (M)"]
    assert "~~`Linnear`~~" in text


@pytest.mark.parametrize("module", ["M", "S"])
def test_every_mark_is_used(module, monkeypatch):
    monkeypatch.syspath_prepend(TOOLS)
    names = importlib.import_module("coverage_names")
    assert sum(mark == module for _, _, mark in names.rows()) > 200
