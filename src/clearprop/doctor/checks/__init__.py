"""The checks, one file per family of faults; importing one registers its checks with the
session.
"""

from clearprop.doctor.checks import blocked, connectivity, leaks, loop, nonfinite, scale, wiring

__all__ = ["blocked", "connectivity", "leaks", "loop", "nonfinite", "scale", "wiring"]
