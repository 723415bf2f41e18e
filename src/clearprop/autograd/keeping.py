"""A tensor in the hands of the user's pack and unpack hooks, from the forward to the backward pass
(see `autograd.graph`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from clearprop.core import Aval, Node, Tensor
from clearprop.errors import AutogradError
from clearprop.ops.broadcasting import here

Pack = Callable[[Tensor], Any]
Unpack = Callable[[Any], Tensor]

CHANGED = (
    "saved_tensors_hooks: A saved tensor pack hook is modifying its input in place. Tensors"
    " provided as input to pack hook can not be modified by in-place operations as this can lead to"
    " unexpected side-effects; work on x.clone(). The op is {op}{here}"
)
NOT_A_TENSOR = (
    "saved_tensors_hooks: Output of saved tensor unpack_hook expected to be a Tensor but got result"
    " of type {kind}; it was called for {op}{here}"
)
ANOTHER = (
    "saved_tensors_hooks: unpack_hook gave {got} for a tensor that was {wanted} when it was packed"
    " (for {op}); what pack does to shape and dtype, unpack must undo{here}"
)


class Kept(NamedTuple):
    """What a pack hook made of a tensor, and how to get it back. `version`: that of the tensor, if
    the hook gave the tensor itself; None for anything else, which no write can spoil.
    """

    packed: Any
    unpack: Unpack
    aval: Aval
    version: int | None

    def tensor(self, node: Node) -> Tensor:
        """The tensor, from the unpack hook."""
        if self.version is not None and self.packed._version != self.version:
            now, maker = self.packed._version, self.packed.node
            node._overwritten(self.aval, f"saved by {node.name}", now, self.version, maker)
        x = self.unpack(self.packed)
        if not isinstance(x, Tensor):
            raise TypeError(
                NOT_A_TENSOR.format(kind=type(x).__name__, op=node.describe(), here=here())
            )
        if x.aval != self.aval:
            raise AutogradError(
                ANOTHER.format(got=x.aval, wanted=self.aval, op=node.describe(), here=here())
            )
        return x


class Keep:
    """Packs what one node keeps."""

    def __init__(self, pack: Pack, unpack: Unpack, node: Node) -> None:
        self.pack, self.unpack, self.node = pack, unpack, node

    def __call__(self, x: Tensor) -> Kept:
        version = x._version
        packed = self.pack(x)
        if x._version != version:
            raise AutogradError(CHANGED.format(op=self.node.describe(), here=here()))
        return Kept(packed, self.unpack, x.aval, version if packed is x else None)
