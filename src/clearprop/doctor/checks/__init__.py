"""The checks, one file per family of faults; importing one registers its checks with the
session.
"""

from clearprop.doctor.checks import (
    blocked,
    connectivity,
    endings,
    inputs,
    labels,
    leaks,
    loop,
    memory,
    nonfinite,
    objective,
    scale,
    steps,
    wiring,
)

__all__ = [
    "blocked", "connectivity", "endings", "inputs", "labels", "leaks", "loop", "memory",
    "nonfinite", "objective", "scale", "steps", "wiring",
]  # fmt: skip
