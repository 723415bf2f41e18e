"""How many threads the linear algebra of a fit gets."""

from __future__ import annotations

import contextlib
from typing import Any

from threadpoolctl import threadpool_limits

# Multiplications in one matrix product below which a second thread costs more than it gives: on two
# cores of which one is busy, digits takes three times as long with two threads as with one.
WORTH_A_SECOND_THREAD = 2e7


def suited_threads(model: Any, rows: int) -> contextlib.AbstractContextManager[Any]:
    """One BLAS thread while a small network trains (`rows` in a batch); else what is set."""
    largest = max((p.numel() for p in model.parameters()), default=0)
    if rows * largest < WORTH_A_SECOND_THREAD:
        return threadpool_limits(1, "blas")
    return contextlib.nullcontext()
