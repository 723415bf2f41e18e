"""PyTorch's switches of how to compute: threads, determinism, precision, the default device."""

from __future__ import annotations

from typing import Any

from clearprop.core import device, local
from clearprop.core.device import CPU, require_cpu

_settings: dict[str, Any] = {"deterministic": False, "precision": "highest"}
_PRECISIONS = ("highest", "high", "medium")


def get_num_threads() -> int:
    """1: eager mode computes in the thread that calls it (`compile(threads=n)` takes more)."""
    return 1


def set_num_threads(n: int) -> None:
    """Accepted, without effect: eager mode computes in the thread that calls it."""
    _positive("set_num_threads", n)


def get_num_interop_threads() -> int:
    """1."""
    return 1


def set_num_interop_threads(n: int) -> None:
    """Accepted, without effect."""
    _positive("set_num_interop_threads", n)


def _positive(op: str, n: Any) -> None:
    if not isinstance(n, int):
        raise TypeError(f"{op}: expects an int, but got {type(n).__name__}")
    if n <= 0:
        raise RuntimeError(f"{op}: expects a positive integer, got {n}")


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accepted: all that clearprop does is deterministic, with and without it."""
    del warn_only
    _settings["deterministic"] = bool(mode)


def are_deterministic_algorithms_enabled() -> bool:
    """What `use_deterministic_algorithms` was told."""
    return bool(_settings["deterministic"])


def set_float32_matmul_precision(precision: str) -> None:
    """Accepted: products of float32 matrices are computed in float32, with and without it."""
    if precision not in _PRECISIONS:
        raise RuntimeError(
            f"set_float32_matmul_precision: wanted one of {', '.join(_PRECISIONS)}, got"
            f" {precision!r}"
        )
    _settings["precision"] = precision


def get_float32_matmul_precision() -> str:
    """What `set_float32_matmul_precision` was told."""
    return str(_settings["precision"])


def set_default_device(device: Any) -> None:
    """Accepted for the CPU; another device raises DeviceError."""
    require_cpu(device, "set_default_device")


def get_default_device() -> device:
    """The CPU."""
    return CPU


def is_inference_mode_enabled() -> bool:
    """Whether this thread is inside `inference_mode`."""
    return local.c.inference


__all__ = [
    "are_deterministic_algorithms_enabled", "get_default_device", "get_float32_matmul_precision",
    "get_num_interop_threads", "get_num_threads", "is_inference_mode_enabled",
    "set_default_device", "set_float32_matmul_precision", "set_num_interop_threads",
    "set_num_threads", "use_deterministic_algorithms",
]  # fmt: skip
