"""Diagnosis of training: which gradient vanished, blew up, was cut, clamped or became nan, at which
block and line, by which local derivative, and what to do.
"""

from clearprop.doctor import checks as checks
from clearprop.doctor.faults import FAULTS, Fault
from clearprop.doctor.findings import Finding, Report, silence
from clearprop.doctor.preflight import check
from clearprop.doctor.session import Session, watch

__all__ = ["FAULTS", "Fault", "Finding", "Report", "Session", "check", "silence", "watch"]
