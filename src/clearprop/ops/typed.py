"""PyTorch's older constructors: `FloatTensor([1, 2])`, `LongTensor(2, 3)`, `isinstance(x,
FloatTensor)`, `x.type(LongTensor)`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop.core import (
    Tensor,
    bool_,
    dtype,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
    wrap,
)
from clearprop.core.device import require_cpu
from clearprop.core.dtypes import TENSOR_TYPES, as_dtype
from clearprop.ops.broadcasting import here
from clearprop.ops.create import as_tensor, sizes


class TensorType(type):
    """The class of `FloatTensor` and the others: calling it makes a Tensor of its dtype."""

    dtype: dtype

    def __call__(cls, *data: Any, device: Any = None) -> Tensor:
        require_cpu(device, cls.__name__)
        first = data[0] if data else ()
        if len(data) > 1 or isinstance(first, int | np.integer):
            return wrap(np.zeros(sizes(cls.__name__, data), cls.dtype.np), None)
        if isinstance(first, float):
            raise TypeError(
                f"{cls.__name__}: new(): data must be a sequence (got float); use tensor({first})"
                f"{here()}"
            )
        if isinstance(first, Tensor) and first.dtype is not cls.dtype:
            raise TypeError(
                f"{cls.__name__}: expected a tensor of type {cls.dtype}, got {first.aval}; use"
                f" x.to({cls.dtype}){here()}"
            )
        return as_tensor(first, cls.dtype)

    def __instancecheck__(cls, x: object) -> bool:
        return isinstance(x, Tensor) and x.dtype is cls.dtype

    def __repr__(cls) -> str:
        return f"<class 'clearprop.{cls.__name__}'>"


def _named(d: dtype) -> TensorType:
    name = TENSOR_TYPES[d]
    doc = f"A tensor of {d.name} elements: `{name}([1, 0])` of data, `{name}(2, 3)` of a shape."
    return TensorType(name, (), {"dtype": d, "__doc__": doc, "__module__": __name__})


FloatTensor, DoubleTensor, HalfTensor = _named(float32), _named(float64), _named(float16)
LongTensor, IntTensor, ShortTensor = _named(int64), _named(int32), _named(int16)
CharTensor, ByteTensor, BoolTensor = _named(int8), _named(uint8), _named(bool_)


def set_default_tensor_type(t: Any) -> None:
    """`set_default_dtype` by the name of a tensor type: `DoubleTensor` or "torch.DoubleTensor"."""
    if isinstance(t, str) and ".cuda." in t:
        raise TypeError(
            f"set_default_tensor_type: type {t} not available: clearprop is not compiled with CUDA"
            f" enabled{here()}"
        )
    set_default_dtype(as_dtype(t))


def typename(o: Any) -> str:
    """The name of an object's type: "torch.FloatTensor" for a tensor, else module and class.

    >>> import clearprop as cp
    >>> cp.typename(cp.ones(2)), cp.typename(3)
    ('torch.FloatTensor', 'int')
    """
    if isinstance(o, Tensor):
        return f"torch.{TENSOR_TYPES[o.dtype]}"
    kind = o if isinstance(o, type) or hasattr(o, "__qualname__") else type(o)
    module = getattr(kind, "__module__", None)
    name: str = kind.__qualname__
    return name if module in (None, "", "builtins", "__builtin__") else f"{module}.{name}"


__all__ = [
    "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor",
    "IntTensor", "LongTensor", "ShortTensor", "set_default_tensor_type", "typename",
]  # fmt: skip
