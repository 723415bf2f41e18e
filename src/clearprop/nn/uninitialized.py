"""Parameters and buffers whose shape is not known yet."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from clearprop.core import Leaf, Parameter, Tensor, as_dtype, get_default_dtype
from clearprop.core.device import device as Device
from clearprop.core.state import changed

SHAPE = (
    "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in"
    " `load_state_dict` when trying to load an uninitialized parameter into an initialized one."
    " Call `forward` to initialize the parameters before accessing their attributes."
)
USED = (
    "Attempted to use an uninitialized parameter. This error happens when you are using a lazy"
    " module: call its `forward` with a batch to initialize the parameters before computing with"
    " them."
)


class _Uninitialized(Tensor):
    """No values yet, but a type, and an identity that stays when they come."""

    __slots__ = ()

    cls_to_become: type[Tensor] = Tensor

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> None:
        if device is not None:
            Device(device)
        self.node = self.cell = self.view_of = None
        if requires_grad:
            self.node = Leaf(self)
        self.__dict__["_dtype"] = get_default_dtype() if dtype is None else as_dtype(dtype)

    @property
    def value(self) -> Any:  # type: ignore[override]
        raise ValueError(USED)

    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError(SHAPE)

    @property
    def dtype(self) -> Any:
        return self.__dict__["_dtype"]

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point  # type: ignore[no-any-return]

    def requires_grad_(self, requires_grad: bool = True) -> _Uninitialized:
        self.node = Leaf(self) if requires_grad else None
        return self

    def materialize(
        self, shape: tuple[int, ...] | list[int], device: Any = None, dtype: Any = None
    ) -> None:
        """Become a tensor of this shape, with whatever is in memory; the object stays the same."""
        d = as_dtype(dtype) if dtype is not None else self.dtype
        self.__dict__.pop("_dtype")
        self.__class__ = self.cls_to_become  # type: ignore[assignment]
        Tensor.value.__set__(self, np.empty(tuple(shape), d.np))  # type: ignore[attr-defined]
        changed()

    def become_dtype(self, dtype: Any) -> None:
        """Have another type once there are values."""
        self.__dict__["_dtype"] = as_dtype(dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Uninitialized:
        out = type(self)(requires_grad=self.node is not None, dtype=self.dtype)
        memo[id(self)] = out
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.node is not None, None, self.dtype)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def detach(self) -> NoReturn:
        raise ValueError(USED)


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape the first batch decides: `materialize(shape)`.

    >>> import clearprop as cp
    >>> p = cp.nn.UninitializedParameter()
    >>> p.materialize((2, 3))
    >>> type(p).__name__, p.shape, p.requires_grad
    ('Parameter', (2, 3), True)
    """

    __slots__ = ()

    cls_to_become = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(requires_grad, device, dtype)


class UninitializedBuffer(_Uninitialized):
    """A buffer whose shape the first batch decides: `materialize(shape)`."""

    __slots__ = ()


def is_lazy(x: Any) -> bool:
    """Whether x has no values yet."""
    return isinstance(x, _Uninitialized)
