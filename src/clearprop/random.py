"""The default generator of random numbers: seeds, state, and a block that leaves it alone.

>>> import clearprop as cp
>>> state = cp.get_rng_state()
>>> a = cp.rand(2)
>>> cp.set_rng_state(state)
>>> bool((cp.rand(2) == a).all())
True
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from clearprop.core import Tensor, wrap
from clearprop.core.random import default_generator, initial_seed, manual_seed


def get_rng_state() -> Tensor:
    """The state of the default generator, as bytes; `set_rng_state` continues exactly there."""
    return wrap(default_generator.get_state(), None)


def set_rng_state(new_state: Tensor) -> None:
    """Continue where `get_rng_state` was called."""
    default_generator.set_state(new_state)


def seed() -> int:
    """Seed the default generator by chance, and return the seed."""
    return default_generator.seed()


@contextmanager
def fork_rng(
    devices: Iterable[Any] | None = None, enabled: bool = True, **options: Any
) -> Iterator[None]:
    """Within this block random numbers are drawn from a copy: afterwards the default generator is
    as before.
    """
    del devices, options
    before = default_generator.get_state()
    try:
        yield
    finally:
        if enabled:
            default_generator.set_state(before)


__all__ = [
    "default_generator", "fork_rng", "get_rng_state", "initial_seed", "manual_seed", "seed",
    "set_rng_state",
]  # fmt: skip
