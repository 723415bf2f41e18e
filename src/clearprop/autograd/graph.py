"""What the tape keeps for the backward pass, and how to keep it otherwise: `saved_tensors_hooks`.

Within such a block every new Node is `Packed`: what its rules need went through the user's
`pack_hook` when the op ran, and comes back through `unpack_hook` when the backward pass gets there.
Outside, recording knows nothing of it: the block puts an interpreter in place of the eager one,
whose ops are recorded by `core.apply._record`, and that calls `Context.saving`.
"""

from __future__ import annotations

from typing import Any

from clearprop.autograd import engine
from clearprop.autograd.anomaly import Checked
from clearprop.autograd.function import FunctionNode
from clearprop.autograd.keeping import Keep, Kept, Pack, Unpack
from clearprop.core import Node, Pick, Tensor, local, wrap
from clearprop.core.node import SECOND_BACKWARD
from clearprop.errors import AutogradError

_refusals: list[str] = []  # why hooks are forbidden now; the last one counts


class saved_tensors_hooks:
    """Within this block what ops keep for the backward pass is kept as `pack_hook(tensor)`, and
    `unpack_hook` gives it back when it is needed: on disk, in fewer bits, or computed again.

    Of nested blocks the innermost counts. `pack_hook` runs without recording; `unpack_hook` has to
    return a tensor of the same shape and dtype. A number that is repeated is not packed.

    Errors: RuntimeError if `pack_hook` changes its tensor in place, or `unpack_hook` returns
    another shape or dtype; TypeError if it returns no tensor.

    >>> import clearprop as cp
    >>> x = cp.tensor([1.0, 2.0], requires_grad=True)
    >>> with cp.autograd.graph.saved_tensors_hooks(lambda t: t.half(), lambda t: t.float()):
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    def __init__(self, pack_hook: Pack, unpack_hook: Unpack) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook
        self._before: list[Any] = []

    def __enter__(self) -> saved_tensors_hooks:
        if _refusals:
            raise AutogradError(_refusals[-1])
        c = local.c
        self._before.append((c.interpreter, c.saving))
        c.saving = self._pack
        if c.interpreter is None:
            c.interpreter = Checked(shapes=False, finite=False)
        return self

    def __exit__(self, *_: object) -> None:
        local.c.interpreter, local.c.saving = self._before.pop()

    def _pack(self, node: Node) -> None:
        """Put what a new node keeps into the user's hands."""
        keep = Keep(self.pack_hook, self.unpack_hook, node)
        c = local.c
        before = c.grad, c.saving
        c.grad, c.saving = False, None
        try:
            if isinstance(node, FunctionNode):
                node.ctx.pack(keep)
            elif node.out is not None or any(map(_worth, node.saved or ())):
                node.__class__, node.rules = Packed, None
                node.saved = tuple(keep(x) if _worth(x) else x for x in node.saved or ())
                if type(node.out) is tuple:
                    node.out = tuple(keep(wrap(v, None)) for v in node.out)
                elif node.out is not None:
                    node.out = keep(wrap(node.out, None))
        finally:
            c.grad, c.saving = before


class save_on_cpu(saved_tensors_hooks):
    """Keeps what the backward pass needs in the CPU's memory, where clearprop has it anyway: an
    identity, for programs that say so.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda x: x, lambda x: x)


class disable_saved_tensors_hooks:
    """Within this block `saved_tensors_hooks` raises RuntimeError(error_message)."""

    def __init__(self, error_message: str) -> None:
        self.error_message = error_message

    def __enter__(self) -> None:
        _refusals.append(self.error_message)

    def __exit__(self, *_: object) -> None:
        _refusals.pop()


def _worth(x: Any) -> bool:
    """Whether something that a node keeps is a tensor, and more than a number that is repeated."""
    if not isinstance(x, Tensor):
        return False
    flags = getattr(x.value, "flags", None)
    return flags is None or flags.writeable or any(x.value.strides)


class Packed(Node):
    """A recorded op whose saved tensors went through a pack hook."""

    __slots__ = ()

    def check_saved(self) -> None:
        """Raise if they were freed, or the output, packed by the identity, was overwritten."""
        if self.saved is None:
            raise AutogradError(f"{SECOND_BACKWARD} The op is {self.describe()}.")
        cell = self.out_cell
        for x in self.out if type(self.out) is tuple else (self.out,):
            if isinstance(x, Kept) and x.version is not None and cell is not None and cell[0]:
                self._overwritten(x.aval, f"output 0 of {self.name}", cell[0], 0, self)

    def free(self) -> None:
        self.out = self.saved = None

    def pull(self, g: Any, useful: Any) -> list[Tensor | None]:
        """The vector-Jacobian products, after unpacking."""
        self.check_saved()
        again = local.c.grad
        saved = tuple(
            wrap(x.tensor(self).value, edge) if isinstance(x, Kept) else x
            for x, edge in zip(self.saved or (), self.edges, strict=True)
        )
        out = self.out
        if type(out) is tuple:
            makers = [Pick(self, i) if again else None for i in range(len(out))]
            kept = zip(out, makers, strict=True)
            out = tuple(wrap(x.tensor(self).value, maker) for x, maker in kept)
        elif out is not None:
            out = wrap(out.tensor(self).value, self if again else None)
        return engine.pull_with(self, g, useful, again, saved, out)


__all__ = ["Node", "disable_saved_tensors_hooks", "save_on_cpu", "saved_tensors_hooks"]
