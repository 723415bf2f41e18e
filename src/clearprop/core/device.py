"""Where tensors live: always the CPU. `device` exists so that programs can name it."""

from __future__ import annotations

from typing import Any

from clearprop.core.provenance import here
from clearprop.errors import DeviceError

KINDS = ("cpu", "cuda", "mps", "xpu", "meta")


class device:
    """A device as programs write it: `device('cpu')`, `device('cuda', 1)`; tensors are made on the
    CPU only. It equals the string that it prints as, which PyTorch's does not.

    >>> import clearprop as cp
    >>> x = cp.zeros(2, device=cp.device("cpu"))
    >>> x.device, str(x.device), x.device == cp.device("cpu")
    (device(type='cpu'), 'cpu', True)
    """

    __slots__ = ("index", "type")

    type: str
    index: int | None

    def __init__(self, type: Any = "cpu", index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index
        if not isinstance(type, str):
            raise RuntimeError(
                f"device: Cannot access accelerator device when none is available: {type!r}; there"
                " is the CPU, device('cpu')"
            )
        name, colon, number = type.partition(":")
        if name not in KINDS or (colon and (not number.isdigit() or index is not None)):
            raise RuntimeError(
                f"device: Expected one of {', '.join(KINDS)} device type at start of device string:"
                f" {type}"
            )
        self.type = name
        self.index = int(number) if colon else index

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        more = "" if self.index is None else f", index={self.index}"
        return f"device(type={self.type!r}{more})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return str(self) == other
        if isinstance(other, device):
            return (self.type, self.index) == (other.type, other.index)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return (device, (self.type, self.index))


CPU = device("cpu")

ABSENT = (
    "{op}: device {wanted!r} is not there: clearprop computes on the CPU and is not compiled with"
    " {maker} enabled. Use device='cpu', or choose by cuda.is_available(), which is False"
)
_MAKERS = {"cuda": "CUDA", "mps": "MPS", "xpu": "XPU"}


def refuse(wanted: Any, op: str = "device") -> DeviceError:
    """The error for a device that is not the CPU."""
    kind = "cuda" if isinstance(wanted, int) else str(wanted).partition(":")[0]
    return DeviceError(
        ABSENT.format(op=op, wanted=str(wanted), maker=_MAKERS.get(kind, repr(kind))) + here()
    )


def require_cpu(wanted: Any, op: str = "device") -> None:
    """Raise DeviceError for a device that is not the CPU, RuntimeError for what is none."""
    if wanted is None or wanted is CPU or wanted == "cpu":
        return
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        raise refuse(wanted, op)
    if device(wanted).type != "cpu":
        raise refuse(wanted, op)
