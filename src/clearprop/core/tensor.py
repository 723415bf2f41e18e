"""The Tensor: a value (NumPy array, or graph variable while tracing) and the node that made it.

`requires_grad` is `node is not None`. A tensor and its views share one version cell, so that a
backward rule that kept a value can tell whether it was overwritten. The operators and methods are
attached by `ops.methods` and `autograd` from tables.
"""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from clearprop.core.device import CPU
from clearprop.core.device import device as Device
from clearprop.core.dtypes import FLOAT, Aval, dtype, from_numpy_dtype
from clearprop.core.events import listeners, tell
from clearprop.core.node import Leaf, Node, Pick
from clearprop.core.printing import text_of, with_extras
from clearprop.core.provenance import here
from clearprop.core.size import Size
from clearprop.core.state import local
from clearprop.errors import AutogradError, TraceError

if TYPE_CHECKING:
    from clearprop.core.primitive import Primitive

NEEDS_DETACH = (
    "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
)
NOT_KNOWN = (
    "its value is not known while the function is being traced. Keep the decision inside the graph"
    " with where(), or compute it outside the traced function"
)
LOST = "return it from the traced function instead of storing it"


class ViewOf:
    """How a view came from its base: by `step` from the view `parent` (None: from the base itself);
    and the version at which the view's node was right.
    """

    __slots__ = ("base", "parent", "seen", "step")

    base: Tensor
    parent: ViewOf | None
    step: ViewStep
    seen: int

    def __init__(self, base: Tensor, parent: ViewOf | None, step: ViewStep, seen: int) -> None:
        self.base = base
        self.parent = parent
        self.step = step
        self.seen = seen

    def root(self) -> Tensor:
        """The base, or, where that was given another shape in place, what it was before."""
        base = self.base
        while base.view_of is not None:
            base = base.view_of.base
        return base

    @property
    def steps(self) -> list[ViewStep]:
        """The view ops from the base on."""
        out = []
        view: ViewOf | None = self
        while view is not None:
            out.append(view.step)
            view = view.parent
        return out[::-1]


ViewStep = tuple["Primitive", dict[str, Any], Aval]  # the op, its params, what it was applied to


class Tensor:
    """A multi-dimensional array that knows how it was computed.

    >>> import clearprop as cp
    >>> x = cp.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = ("__dict__", "__weakref__", "_grad", "cell", "node", "value", "view_of")

    value: Any
    node: Any
    cell: list[int] | None
    view_of: ViewOf | None
    _grad: Tensor | None  # not there on most tensors

    name: str | None = None
    retains_grad: bool = False

    def __init__(self, *data: Any) -> None:
        """Of data, as float32; `Tensor(2, 3)` has that shape, and zeros."""
        first = data[0] if data else ()
        if len(data) > 1 or first.__class__ is int:
            if not all(n.__class__ is int for n in data):
                raise TypeError(f"Tensor: sizes must be integers, got {data}; use tensor([...])")
            self.value = np.zeros(data, np.float32)
        else:
            self.value = first.value if isinstance(first, Tensor) else np.array(first, np.float32)
        self.node = None
        self.cell = None
        self.view_of = None

    # ------------------------------------------------------------------ what it is
    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape  # type: ignore[no-any-return]

    @property
    def dtype(self) -> dtype:
        return from_numpy_dtype(self.value.dtype)

    @property
    def aval(self) -> Aval:
        return Aval(self.value.shape, from_numpy_dtype(self.value.dtype))

    @property
    def ndim(self) -> int:
        return len(self.value.shape)

    @property
    def itemsize(self) -> int:
        return int(self.value.dtype.itemsize)

    @property
    def nbytes(self) -> int:
        return int(self.value.dtype.itemsize) * self.numel()

    @property
    def device(self) -> Device:
        return CPU

    def dim(self) -> int:
        return len(self.value.shape)

    def numel(self) -> int:
        n = 1
        for d in self.value.shape:
            n *= d
        return n

    nelement = numel

    def size(self, dim: int | None = None) -> Any:
        return Size(self.shape) if dim is None else self.shape[dim]

    def element_size(self) -> int:
        return int(self.value.dtype.itemsize)

    def is_floating_point(self) -> bool:
        return self.value.dtype.kind == "f"  # type: ignore[no-any-return]

    def is_complex(self) -> bool:
        return False

    def is_contiguous(self) -> bool:
        return bool(self.array("is_contiguous()").flags.c_contiguous)

    def stride(self, dim: int | None = None) -> Any:
        a = self.array("stride()")
        steps = tuple(s // a.itemsize for s in a.strides)
        return steps if dim is None else steps[dim]

    def data_ptr(self) -> int:
        return int(self.array("data_ptr()").ctypes.data)

    def storage_offset(self) -> int:
        """How many elements of the memory that x and its base share come before x."""
        a = self.array("storage_offset()")
        base = a
        while isinstance(base.base, np.ndarray):
            base = base.base
        return (a.ctypes.data - base.ctypes.data) // a.itemsize

    @property
    def is_cuda(self) -> bool:
        return False

    # ------------------------------------------------------------------ autograd
    @property
    def requires_grad(self) -> bool:
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for a gradient of this tensor (or stop asking); only leaves can be changed."""
        if type(self.node) in (Node, Pick) or (self.node is not None and not self.is_leaf):
            if not requires_grad:
                raise AutogradError(
                    "requires_grad: you can only change requires_grad flags of leaf variables. "
                    "If you want to use a computed variable in a subgraph that doesn't require "
                    "differentiation use var_no_grad = var.detach()."
                )
            return self
        if requires_grad and self.value.dtype.kind != "f":
            raise AutogradError(
                "requires_grad_: only Tensors of floating point dtype can require gradients, got"
                f" {self.aval}{here()}"
            )
        if requires_grad and self.node is None:
            self.node = Leaf(self)
            self._grad = grad_of(self)  # there from now on
        elif not requires_grad:
            self.node = None
        if listeners:
            tell("requires_grad", self, requires_grad)
        return self

    @property
    def grad(self) -> Tensor | None:
        """What backward passes have added up for this tensor; None before the first."""
        interpreter = local.c.interpreter
        if interpreter is not None and interpreter.traces:
            interpreter.about_grad(self, reading=True)
        return grad_of(self)

    @grad.setter
    def grad(self, new: Tensor | None) -> None:
        interpreter = local.c.interpreter
        if interpreter is not None and interpreter.traces:
            interpreter.about_grad(self, reading=False)
        self._grad = new

    @property
    def is_leaf(self) -> bool:
        return self.node is None or type(self.node) is Leaf

    @property
    def grad_fn(self) -> Any:
        """The node that made this tensor; None for leaves."""
        if self.view_of is not None:
            refresh(self)
        return None if type(self.node) is Leaf else self.node

    @property
    def _version(self) -> int:
        return 0 if self.cell is None else self.cell[0]

    @property
    def _base(self) -> Tensor | None:
        return None if self.view_of is None else self.view_of.base

    def detach(self) -> Tensor:
        """The same values without history; shares memory and the version counter."""
        out = wrap(self.value, None)
        out.cell = version_cell(self)
        if listeners:
            tell("detach", self, "detach()")
        return out

    def detach_(self) -> Tensor:
        """Cut this tensor from its history, in place."""
        if self.view_of is not None:
            raise AutogradError("detach_: can't detach views in-place. Use detach() instead")
        self.node = None
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without history and with a version counter of its own: what is done to
        it, autograd does not see.
        """
        if listeners:
            tell("detach", self, "data")
        return wrap(self.value, None)

    @data.setter
    def data(self, new: Tensor) -> None:
        if not isinstance(new, Tensor):
            raise TypeError(f"data: Variable data has to be a tensor, but got {type(new).__name__}")
        if self.node is not None and new.value.dtype.kind != "f":
            raise AutogradError(
                "data: data set to a tensor that requires gradients must be floating point, got"
                f" {new.aval}"
            )
        interpreter = local.c.interpreter
        if interpreter is None or not interpreter.traces:
            self.value = new.value
        elif new.aval != self.aval:
            interpreter.refuse(f"data: {self.aval} set to {new.aval}", "a trace has fixed shapes")
        else:
            interpreter.write(self, new)
        bump(self)

    # ------------------------------------------------------------------ values out
    def array(self, what: str = "the value") -> np.ndarray:
        """The NumPy array; an error while tracing, where there is none."""
        value = self.value
        if listeners:
            tell("export", self, what)
        interpreter = local.c.interpreter
        if interpreter is not None:
            interpreter.refuse(f"{what} of {self.aval}", NOT_KNOWN, value)
        if value.__class__ is not np.ndarray:
            raise TraceError(f"{what} of a tensor {self.aval} that a trace has left behind: {LOST}")
        return value  # type: ignore[no-any-return]

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The values as a NumPy array that shares this tensor's memory."""
        if self.node is not None and not force:
            raise AutogradError(NEEDS_DETACH + here())
        return self.array("numpy()")

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        a = self.numpy()
        return np.array(a, dtype=dtype, copy=copy) if copy else np.asarray(a, dtype=dtype)

    def item(self) -> Any:
        """The only element as a Python number."""
        a = self.array("item()")
        if a.size != 1:
            raise AutogradError(
                f"item: a Tensor with {a.size} elements cannot be converted to Scalar, it is"
                f" {self.aval}{here()}"
            )
        return a.item()

    def tolist(self) -> Any:
        return self.array("tolist()").tolist()

    def __bool__(self) -> bool:
        a = self.array("bool()")
        if a.size != 1:
            raise AutogradError(
                "bool: Boolean value of Tensor with"
                f" {'no values' if a.size == 0 else 'more than one value'} is ambiguous, it is"
                f" {self.aval}; use .any() or .all(){here()}"
            )
        return bool(a.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.value.dtype.kind not in "iub":
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __len__(self) -> int:
        if not self.value.shape:
            raise TypeError("len() of a 0-d tensor")
        return int(self.value.shape[0])

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self.ndim == 0 and spec else format(repr(self), spec)

    def __hash__(self) -> int:
        return id(self)

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.node is not None:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self.array("__dlpack__()").__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array("__dlpack_device__()").__dlpack_device__()

    # ------------------------------------------------------------------ copies
    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise AutogradError(
                "deepcopy: Only Tensors created explicitly by the user (graph leaves) support the"
                f" deepcopy protocol at the moment; this one was made by {self.node.describe()}."
                " Use x.detach().clone()"
            )
        out = object.__new__(type(self))
        memo[id(self)] = out
        out.value, out.cell, out.view_of = self.array("deepcopy()").copy(), None, None
        out.node = None if self.node is None else Leaf(out)
        out.__dict__.update(copy.deepcopy(self.__dict__, memo))
        grad = grad_of(self)
        if grad is not None:
            out._grad = copy.deepcopy(grad, memo)
        return out

    def __reduce__(self) -> tuple[Any, ...]:
        if not self.is_leaf:
            raise AutogradError(
                "pickle: only leaves can be pickled; this tensor was made by "
                f"{self.node.describe()}. Use x.detach()"
            )
        return (_rebuild, (type(self), self.array("pickle"), self.requires_grad))

    def __repr__(self) -> str:
        if self.value.__class__ is not np.ndarray:
            return f"tensor(<traced {self.aval}>)"
        extras = []
        if self.dtype.name not in ("float32", "int64", "bool"):
            extras.append(f"dtype={self.dtype!r}")
        elif self.value.size == 0 and self.ndim != 1:
            extras.append(f"size={self.shape}")
        grad_fn = self.grad_fn
        if grad_fn is not None:
            extras.append(f"grad_fn=<{grad_fn.name}>")
        elif self.node is not None:
            extras.append("requires_grad=True")
        return with_extras("tensor(" + text_of(self.value, "tensor("), extras)


class Parameter(Tensor):
    """A tensor that a Module trains: a leaf with requires_grad=True, registered when assigned to a
    module.
    """

    __slots__ = ()

    def __init__(self, data: Tensor | Any = (), requires_grad: bool = True) -> None:
        super().__init__(data)
        if isinstance(data, Tensor):
            self.cell = version_cell(data)
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


# Classes that take the operators' fast path.
TENSORS = frozenset({Tensor, Parameter})

_new = object.__new__


def wrap(value: Any, node: Any) -> Tensor:
    """A Tensor over `value`, made by `node` (None: no gradient wanted)."""
    out = _new(Tensor)
    out.value = value
    out.node = node
    out.cell = None
    out.view_of = None
    return out


def grad_of(x: Tensor) -> Tensor | None:
    """The gradient that x holds, without telling the interpreter."""
    try:
        return x._grad
    except AttributeError:
        return None


def known(x: Tensor) -> np.ndarray | None:
    """The array of x for a check that looks at its elements; None while tracing, where such a check
    would see the values of one run only.
    """
    interpreter = local.c.interpreter
    return x.value if interpreter is None or not interpreter.traces else None


def version_cell(x: Tensor) -> list[int]:
    """The counter that `x` shares with its views; made at first need, and shown to the node that
    keeps x as its output.
    """
    cell = x.cell
    if cell is None:
        cell = x.cell = [0]
        if isinstance(x.node, Node):
            x.node.out_cell, x.node.rules = cell, None
        elif type(x.node) is Pick:
            x.node.main.out_cell, x.node.main.rules = cell, None
    return cell


# The number of the last write to any tensor: while it stands still, no saved value has changed.
# Every number is given once, so that threads cannot bring back an old one.
writes = [0]
_next_write = itertools.count(1).__next__


def bump(x: Tensor) -> None:
    """Note that the memory of `x` was written to."""
    version_cell(x)[0] += 1
    writes[0] = _next_write()


def refresh(x: Tensor) -> None:
    """Give a view of an overwritten base the node that it would have if it were taken now."""
    view = x.view_of
    assert view is not None
    now = version_cell(x)[0]
    if view.seen == now:
        return
    view.seen = now
    again = view.root()
    if local.c.grad and again.node is not None:
        for prim, params, _ in view.steps:
            again = view_again(prim, again, params)
        x.node = again.node


def _no_views(*_: Any) -> Tensor:
    raise AssertionError("core.apply has not been imported")


view_again: Any = _no_views  # core.apply puts apply_view here


def _rebuild(cls: type[Tensor], value: np.ndarray, requires_grad: bool) -> Tensor:
    out = _new(cls)
    out.value, out.node, out.cell, out.view_of = value, None, None, None
    return out.requires_grad_() if requires_grad else out


def is_float(x: Tensor) -> bool:
    return x.dtype.category == FLOAT
