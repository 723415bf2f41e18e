"""The doctor on the programs of tests/backbench: faulty ones, their fixed twins, healthy ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[1] / "backbench"
FEW = ["01", "14", "58", "70", "77", "H11", "H21"]


def score(out: Path, *only: str) -> dict[str, Any]:
    program = Path(sys.executable).with_name("clearprop")
    command = f"{program} doctor {{program}} --json {{out}}"
    given = [sys.executable, str(BENCH / "score.py"), "--cmd", command, "--json", str(out)]
    if only:
        given += ["--only", *only]
    subprocess.run(given, check=True, capture_output=True, timeout=1200)
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def check(result: dict[str, Any]) -> None:
    assert not result["doctor_failures"]
    assert not result["alarms"]["healthy"], result["alarms"]
    assert not result["alarms"]["fixed"], result["alarms"]
    assert result["detection"] >= 0.95, result["misses"]
    assert result["top1"] >= 0.85, result["misses"]
    assert result["line_exact"] >= 0.80, result["misses"]


def test_some_programs(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    check(score(tmp_path / "score.json", *FEW))


@pytest.mark.nightly
def test_all_programs(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    check(score(tmp_path / "score.json"))
