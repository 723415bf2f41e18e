"""Element types and the promotion rules between them (PyTorch's, see `promote`).

An `Aval` is what is known of a value before it exists: shape and dtype. It prints as `f32[64,10]`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

BOOL, INTEGER, FLOAT = range(3)


class dtype:
    """Element type of a Tensor, one object per type: `clearprop.float32`, `clearprop.int64`, ..."""

    __slots__ = ("category", "itemsize", "name", "np", "short")

    def __init__(self, name: str, short: str, category: int) -> None:
        self.name = name
        self.short = short
        self.category = category
        self.np = np.dtype(name)
        self.itemsize = self.np.itemsize

    @property
    def is_floating_point(self) -> bool:
        return self.category == FLOAT

    @property
    def is_complex(self) -> bool:
        return False

    @property
    def is_signed(self) -> bool:
        return self.name not in ("uint8", "bool")

    def __repr__(self) -> str:
        return f"clearprop.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name


# fmt: off
float32 = dtype("float32", "f32",  FLOAT)
float64 = dtype("float64", "f64",  FLOAT)
float16 = dtype("float16", "f16",  FLOAT)
int64   = dtype("int64",   "i64",  INTEGER)
int32   = dtype("int32",   "i32",  INTEGER)
int16   = dtype("int16",   "i16",  INTEGER)
int8    = dtype("int8",    "i8",   INTEGER)
uint8   = dtype("uint8",   "u8",   INTEGER)
bool_   = dtype("bool",    "bool", BOOL)
# fmt: on

DTYPES = (float32, float64, float16, int64, int32, int16, int8, uint8, bool_)
BY_DTYPE: dict[np.dtype, dtype] = {d.np: d for d in DTYPES}
_BY_CHAR: dict[str, dtype] = {d.np.char: d for d in DTYPES}
for _char in "bhilq":  # C names: two of them are the same size on every platform
    _BY_CHAR.setdefault(_char, {1: int8, 2: int16, 4: int32, 8: int64}[np.dtype(_char).itemsize])
_BY_NAME = {d.name: d for d in DTYPES} | {"float": float32, "double": float64, "half": float16}
_BY_NAME |= {"long": int64, "int": int32, "short": int16}

# PyTorch's older names of types: `x.type()` is "torch.FloatTensor".
TENSOR_TYPES: dict[dtype, str] = {
    float32: "FloatTensor", float64: "DoubleTensor", float16: "HalfTensor", int64: "LongTensor",
    int32: "IntTensor", int16: "ShortTensor", int8: "CharTensor", uint8: "ByteTensor",
    bool_: "BoolTensor",
}  # fmt: skip
_BY_NAME |= {f"{m}.{t}": d for d, t in TENSOR_TYPES.items() for m in ("torch", "clearprop")}
_BY_TYPE = {float: float32, int: int64, bool: bool_}

_default = float32


def get_default_dtype() -> dtype:
    """The dtype of new floating-point tensors made from Python numbers (float32 at start)."""
    return _default


def set_default_dtype(d: dtype) -> None:
    """Choose the dtype of new floating-point tensors: `float32` or `float64`."""
    global _default
    d = as_dtype(d)
    if d.category != FLOAT:
        raise TypeError(
            "set_default_dtype: only floating-point types are supported as the default type,"
            f" got {d}"
        )
    _default = d


def from_numpy_dtype(d: np.dtype) -> dtype:
    """The clearprop dtype of a NumPy dtype; TypeError for complex, object, strings ..."""
    found = BY_DTYPE.get(d)
    if found is None and d.isnative:
        found = _BY_CHAR.get(d.char)
    if found is None:
        raise TypeError(
            f"tensor: can't convert np.ndarray of type {d}. The only supported types are: "
            + ", ".join(t.name for t in DTYPES)
        )
    return found


def as_dtype(d: object) -> dtype:
    """`d` as a clearprop dtype: one of ours, a NumPy dtype or type, a Python type, `FloatTensor`,
    or a name.
    """
    if isinstance(d, dtype):
        return d
    if isinstance(d, str) and d in _BY_NAME:
        return _BY_NAME[d]
    if isinstance(d, type) and d in _BY_TYPE:
        return _default if d is float else _BY_TYPE[d]
    if isinstance(getattr(d, "dtype", None), dtype) and isinstance(d, type):  # FloatTensor
        return d.dtype  # type: ignore[attr-defined,no-any-return]
    try:
        return from_numpy_dtype(np.dtype(d))  # type: ignore[call-overload]
    except TypeError:
        raise TypeError(
            f"dtype: {d!r} is not an element type; use one of {', '.join(map(repr, DTYPES))}"
        ) from None


class Aval(NamedTuple):
    """Abstract value: shape and dtype. Prints as `f32[64,10]`."""

    shape: tuple[int, ...]
    dtype: dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        n = 1
        for d in self.shape:
            n *= d
        return n

    def __repr__(self) -> str:
        return f"{self.dtype.short}[{','.join(map(str, self.shape))}]"


def promote_types(a: dtype, b: dtype) -> dtype:
    """The smallest type of the higher category that holds both (`u8` and `i8` give `i16`)."""
    if a is b:
        return a
    if a.category != b.category:
        return a if a.category > b.category else b
    return _BY_CHAR[np.promote_types(a.np, b.np).char]


def promote(a: dtype, a_is_0d: bool, b: dtype, b_is_0d: bool) -> dtype:
    """Result type of an op on two tensors, PyTorch's rule: category first (bool < int < float), and
    inside a category a tensor with dimensions outranks one without (`f32[3] + f64[]` gives f32).
    """
    if a is b:
        return a
    if a_is_0d == b_is_0d:
        return promote_types(a, b)
    dims, scalar = (b, a) if a_is_0d else (a, b)
    return scalar if scalar.category > dims.category else dims


def promote_scalar(a: dtype, number: object) -> dtype:
    """Result type of an op on a tensor and a Python number: the number never widens within a
    category.
    """
    category = BOOL if isinstance(number, bool) else INTEGER if isinstance(number, int) else FLOAT
    if category <= a.category:
        return a
    return _default if category == FLOAT else int64
