"""PyTorch's `xpu` where there is none: questions are answered, requests fail with a sentence."""

from __future__ import annotations

from clearprop.core.device import refuse


def is_available() -> bool:
    """False: clearprop computes on the CPU."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Seed the device's random numbers: there is none, so nothing happens."""
    int(seed)


def empty_cache() -> None:
    """Give back the device's unused memory: there is none."""


def synchronize() -> None:
    """Fails: there is no device to wait for."""
    raise refuse("xpu", "xpu.synchronize")


__all__ = ["device_count", "empty_cache", "is_available", "manual_seed", "synchronize"]
