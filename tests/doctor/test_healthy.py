"""Healthy programs that look like faulty ones raise no error and no warning."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor_harness import PRELUDE, diagnose
from healthy_programs import HEALTHY, VARIANTS, program


def check(name: str, number: int, folder: Path) -> None:
    report, session = diagnose(PRELUDE + program(HEALTHY[name], VARIANTS[number]) + "\n", folder)
    assert not [n for n in session.notes if "failed" in n]
    assert not report.alarms, str(report)
    assert session.failure is None  # type: ignore[attr-defined]
    assert session.backwards >= 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_program_raises_nothing(name: str, tmp_path: Path) -> None:
    check(name, list(HEALTHY).index(name) % len(VARIANTS), tmp_path)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("number", range(len(VARIANTS)))
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_variant_raises_nothing(name: str, number: int, tmp_path: Path) -> None:
    check(name, number, tmp_path)
