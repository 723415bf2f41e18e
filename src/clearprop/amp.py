"""Mixed precision, as programs ask for it. clearprop computes in the dtypes that tensors have; it
has no bfloat16, and float16 arithmetic would be slower than float32, so nothing is cast here:
`autocast` and `GradScaler` warn, and the program goes on in full precision.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from clearprop.core import dtype, float16
from clearprop.core.device import device as Device

DISABLED = (
    "autocast: {device} is not available. Disabling: what is inside is computed in the dtypes that"
    " its tensors have"
)
FULL = (
    "autocast: clearprop has no lower precision on the CPU that would be faster: what is inside is"
    " computed in the dtypes that its tensors have; autocast(..., enabled=False) says the same"
)
UNSCALED = (
    "GradScaler is enabled, but {device} is not available. Disabling: gradients in float32 need no"
    " scale"
)


class autocast:
    """A block (or decorator) in which PyTorch would compute in lower precision; clearprop does not.

    Warns where it is asked to (`enabled=True`), and computes as outside.

    >>> import clearprop as cp
    >>> with cp.autocast("cpu", enabled=False):
    ...     (cp.ones(2, 2) @ cp.ones(2, 2)).dtype
    clearprop.float32
    """

    def __init__(
        self,
        device_type: str,
        dtype: dtype | None = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        kind = Device(device_type).type
        self.device, self.fast_dtype = kind, float16 if dtype is None else dtype
        self._enabled = False
        if enabled:
            text = FULL if kind == "cpu" else DISABLED.format(device=kind.upper())
            warnings.warn(text, UserWarning, stacklevel=2)

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(f)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self:
                return f(*args, **kwargs)

        return wrapped


class GradScaler:
    """Scales a loss so that gradients in float16 do not vanish; without float16 there is nothing to
    scale: `scale(loss)` is the loss, `step(optimizer)` is `optimizer.step()`.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled:
            text = UNSCALED.format(device=f"float16 on {device!r}")
            warnings.warn(text, UserWarning, stacklevel=2)

    def scale(self, outputs: Any) -> Any:
        """The outputs as they are."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing: gradients have no scale."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """optimizer.step()."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Nothing."""

    def get_scale(self) -> float:
        """1."""
        return 1.0

    def is_enabled(self) -> bool:
        """False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to load."""


def is_autocast_available(device_type: str) -> bool:
    """False: nothing is computed in another dtype than the program names."""
    del device_type
    return False


__all__ = ["GradScaler", "autocast", "is_autocast_available"]
