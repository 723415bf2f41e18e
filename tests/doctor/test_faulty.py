"""Every fault is found in a small program, at its line; its healthy twin raises nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from doctor_harness import diagnose, variants
from faulty_programs import FAULTY

from clearprop.doctor import FAULTS
from clearprop.doctor.findings import CONSEQUENCES

IDS = [f"{code}-{i}" for i, (code, *_) in enumerate(FAULTY)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("code", "severities", "source"), FAULTY, ids=IDS)
def test_fault_is_found_at_its_line(
    code: str, severities: str, source: str, tmp_path: Path
) -> None:
    faulty, _, lines = variants(source)
    report, session = diagnose(faulty, tmp_path)
    assert not [n for n in session.notes if "failed" in n]
    assert report.alarms, "nothing was found"
    first = report.alarms[0]
    assert first.code == code, str(report)
    assert first.severity in severities
    assert first.line in lines, str(first.text())
    assert first.fix and any(ch.isdigit() for ch in first.message + first.fix)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("code", "severities", "source"), FAULTY, ids=IDS)
def test_fixed_twin_raises_nothing(code: str, severities: str, source: str, tmp_path: Path) -> None:
    _, fixed, _ = variants(source)
    report, session = diagnose(fixed, tmp_path)
    assert not [n for n in session.notes if "failed" in n]
    assert not report.alarms, str(report)
    assert session.backwards >= 3


def test_every_fault_has_a_program() -> None:
    assert {code for code, *_ in FAULTY} == set(FAULTS) - {"F5"}  # F5 is no fault of backprop


def test_consequences_name_faults() -> None:
    for cause, follow in CONSEQUENCES.items():
        assert {cause, *follow.split()} <= set(FAULTS)
        assert cause not in follow.split()
