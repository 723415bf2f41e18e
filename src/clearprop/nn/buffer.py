"""Buffer: a tensor that becomes a buffer when it is assigned to a module."""

from __future__ import annotations

from typing import Any

from clearprop.core import Tensor


class Buffer(Tensor):
    """State of a module that is saved but not trained: `self.mean = Buffer(x)` is
    `self.register_buffer("mean", x)`.

    >>> import clearprop as cp
    >>> net = cp.nn.Module()
    >>> net.mean = cp.nn.Buffer(cp.zeros(2))
    >>> [name for name, _ in net.named_buffers()]
    ['mean']
    """

    __slots__ = ()

    persistent: bool

    def __init__(self, data: Tensor | Any = (), *, persistent: bool = True) -> None:
        super().__init__(data)
        self.__dict__["persistent"] = persistent
