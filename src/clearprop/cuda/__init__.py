"""PyTorch's `cuda` on a machine without one: questions are answered, requests fail with a sentence.

Programs choose by `cuda.is_available()`, which is False here; what would need a GPU raises
`DeviceError` (an AssertionError and RuntimeError, as PyTorch raises without CUDA).
"""

from __future__ import annotations

from typing import Any

from clearprop.core.device import refuse
from clearprop.cuda import amp


def is_available() -> bool:
    """False: clearprop computes on the CPU."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed(seed: int) -> None:
    """Seed the GPU's random numbers: there is none, so nothing happens."""
    int(seed)


manual_seed_all = manual_seed


def seed() -> None:
    """Seed the GPU's random numbers by chance: there is none, so nothing happens."""


seed_all = seed


def empty_cache() -> None:
    """Give back the GPU's unused memory: there is none."""


def memory_allocated(device: Any = None) -> int:
    """0 bytes."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def synchronize(device: Any = None) -> None:
    """Fails: there is no GPU to wait for. Guard it by `cuda.is_available()`."""
    raise refuse("cuda", "cuda.synchronize")


def current_device() -> int:
    """Fails: there is no GPU."""
    raise refuse("cuda", "cuda.current_device")


def set_device(device: Any) -> None:
    """Fails: there is no GPU."""
    raise refuse("cuda", "cuda.set_device")


def get_device_name(device: Any = None) -> str:
    """Fails: there is no GPU."""
    raise refuse("cuda", "cuda.get_device_name")


def get_device_properties(device: Any = None) -> Any:
    """Fails: there is no GPU."""
    raise refuse("cuda", "cuda.get_device_properties")


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """Fails: there is no GPU."""
    raise refuse("cuda", "cuda.get_device_capability")


__all__ = [
    "amp", "current_device", "device_count", "empty_cache", "get_device_capability",
    "get_device_name", "get_device_properties", "is_available", "is_bf16_supported",
    "is_initialized", "manual_seed", "manual_seed_all", "max_memory_allocated",
    "max_memory_reserved", "memory_allocated", "memory_reserved", "seed", "seed_all",
    "set_device", "synchronize",
]  # fmt: skip
