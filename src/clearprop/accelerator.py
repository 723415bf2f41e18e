"""PyTorch's `accelerator` where there is none: questions are answered, requests fail."""

from __future__ import annotations

from typing import Any

from clearprop.errors import DeviceError

NONE = (
    "accelerator.{name}: Cannot access accelerator device when none is available: clearprop"
    " computes on the CPU; guard it by accelerator.is_available(), which is False"
)


def is_available() -> bool:
    """False: clearprop computes on the CPU."""
    return False


def device_count() -> int:
    """0."""
    return 0


def current_accelerator(check_available: bool = False) -> None:
    """None: there is no accelerator."""


def synchronize(device: Any = None) -> None:
    """Fails: there is nothing to wait for."""
    raise DeviceError(NONE.format(name="synchronize"))


def current_device_index() -> int:
    """Fails: there is no accelerator."""
    raise DeviceError(NONE.format(name="current_device_index"))


def set_device_index(device: Any) -> None:
    """Fails: there is no accelerator."""
    raise DeviceError(NONE.format(name="set_device_index"))


__all__ = [
    "current_accelerator", "current_device_index", "device_count", "is_available",
    "set_device_index", "synchronize",
]  # fmt: skip
