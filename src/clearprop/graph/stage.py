"""The interpreter that writes a graph instead of computing: `Stage`.

While it is in force, the memory of tensors is symbolic. A `Symbol` stands for one piece of memory:
`symbol.var` is the graph's Var that it holds now. An array that was there before the trace gets a
symbol when it is first read or written, so tensors themselves need not be exchanged; every tensor
over the same array sees the same symbol. An in-place op gives the symbol a new Var; a view finds
out that its base has changed, and is taken again.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clearprop.core import (
    Aval,
    Number,
    Primitive,
    Tensor,
    View,
    apply,
    float64,
    grad_of,
    local,
    wrap,
)
from clearprop.core.provenance import module_path, user_frame
from clearprop.core.state import Interpreter
from clearprop.errors import TraceError
from clearprop.graph.ir import Equation, Graph, Origin, Var, aval_of, output_avals
from clearprop.graph.symbols import (
    Assumption,
    Gradient,
    Memory,
    Parts,
    Symbol,
    is_row_major,
    layout_of,
    root_of,
)
from clearprop.ops import movement
from clearprop.ops.contract import LINEAR, MATMUL
from clearprop.ops.elementwise import WHERE


class Stage:
    """Appends what runs to a graph. `with stage:` puts it in force for this thread."""

    traces = True

    def __init__(self, name: str) -> None:
        self.graph = Graph(name, ())
        self.memory: dict[int, Memory] = {}
        self.modules: dict[int, Parts] = {}
        self.gradients: dict[int, Gradient] = {}
        self.numbers: list[tuple[Var, Callable[[], Any]]] = []
        self.assumptions: list[Assumption] = []
        self._paths: dict[int, dict[int, str]] = {}
        self._counts: dict[int, int] = {}
        self._options: dict[int, dict[str, Any]] = {}
        self._splats: dict[tuple[str, bytes], Var] = {}
        self._issued: list[weakref.ref[Symbol]] = []
        self._writes = itertools.count(1)
        self._last_write = 0
        self._before: list[Interpreter | None] = []

    def __enter__(self) -> Stage:
        self._before.append(local.c.interpreter)
        local.c.interpreter = self
        return self

    def __exit__(self, *_: object) -> None:
        local.c.interpreter = self._before.pop()

    # ------------------------------------------------------------------ what core.apply calls
    def run(self, prim: Primitive, values: Sequence[Any], params: dict[str, Any]) -> Any:
        """Append one equation; the result is a Symbol, or a tuple of them."""
        symbols = [self.symbol(v) for v in values]
        made = self.emit(prim, [self.read(s) for s in symbols], params)
        outs = tuple(self._issue(v) for v in made)
        if isinstance(prim.lower, View) and not prim.variadic:
            self._link(outs[0], symbols[0], prim, params)
        elif prim not in ROW_MAJOR and not all(map(is_row_major, symbols)):
            for out in outs:  # NumPy lays out results like their operands
                out.row_major = sum(n > 1 for n in out.shape) < 2
        return outs if prim.outputs > 1 else outs[0]

    def write(self, target: Any, source: Any) -> None:
        """The memory `target` holds the values of `source` from now on."""
        new = self.read(self.symbol(source))
        self._last_write = next(self._writes)
        symbol = self.symbol(target)
        root, chain = root_of(symbol)
        if any(view() is not None for view in root.doubtful):
            self.refuse(
                "an in-place op",
                "reshape(), flatten() or contiguous() may or may not have copied this memory, whose"
                " elements may lie in another than row-major order; use clone() before it",
            )
        if chain:
            self.write(root, self._joined(root, chain, new))
            return
        root.var = new
        root.version += 1

    def snapshot(self, value: Any) -> Symbol:
        """New memory that holds what `value` holds now."""
        return self._issue(self.read(self.symbol(value)))

    def contiguous(self, x: Tensor, clone: Callable[[Tensor], Tensor]) -> Tensor:
        """x itself, or a clone; where eager mode might do either, neither may be written to."""
        symbol = self.symbol(x)
        layout = layout_of(symbol)
        if layout is not None and layout.flags.c_contiguous:
            return x
        out = clone(x)
        if layout is None:
            root, copy = root_of(symbol)[0], self.symbol(out)
            root.doubtful.append(weakref.ref(copy))
            copy.doubtful.append(weakref.ref(root))
        return out

    def assume(self, decide: Callable[[], bool], answer: bool, steady: bool = True) -> None:
        """Note what the trace depends on."""
        self.assumptions.append(Assumption(decide, answer, steady))

    def count(self, array: np.ndarray) -> int:
        """How often this was called with `array`, this time included."""
        self._counts[id(array)] = self._counts.get(id(array), 0) + 1
        return self._counts[id(array)]

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        """A copy of `options` in which numbers, also those in tuples and lists, are inputs of the
        graph.
        """
        key = id(options)
        if key not in self._options:
            self._options[key] = {
                name: self._lifted(value, options, name) for name, value in options.items()
            }
        return self._options[key]

    def _lifted(self, value: Any, options: dict[str, Any], name: str) -> Any:
        if isinstance(value, tuple | list):
            return tuple(
                self._number(f"{name}.{i}", _part(options, name, i))
                if type(part) in (int, float)
                else part
                for i, part in enumerate(value)
            )
        if type(value) in (int, float):
            return self._number(name, lambda: float(options[name]))
        return value

    def _number(self, name: str, again: Callable[[], float]) -> Number:
        var = Var(Aval((), float64), name)
        self.numbers.append((var, again))
        return Number(self, self._issue(var), again(), again)

    def about_grad(self, tensor: Tensor, reading: bool) -> None:
        """Note what `tensor.grad` is before the function touches it."""
        if id(tensor) in self.gradients:
            return
        before = grad_of(tensor)
        self.gradients[id(tensor)] = Gradient(tensor, before, reading)
        if before is not None:
            self.symbol(before)
            self.memory[id(before.value)].grad_of.append(tensor)

    def drawn(self, aval: Aval, draw: Callable[[], Any]) -> Symbol:
        """An input of the graph that is drawn anew at every run, in the order of the trace."""
        var = Var(aval)
        self.numbers.append((var, draw))
        return self._issue(var)

    def entered(self, module: Any) -> None:
        """Note what the module is made of, before its forward decides on it."""
        self.modules.setdefault(id(module), Parts(module))

    def refuse(self, what: str, why: str, value: Any = None) -> None:
        """Raise the error for a program that wants something which only a run can give."""
        raise TraceError(f"{self.graph.name}: {what} {self.origin()}: {why}")

    # ------------------------------------------------------------------ symbols
    def symbol(self, value: Any) -> Symbol:
        """The symbol of a traced value, of an array from outside, or of the value of a Tensor."""
        owner = None
        if isinstance(value, Tensor):
            owner, value = value, value.value
        if isinstance(value, Symbol):
            if value.stage is not self:
                raise TraceError(
                    f"{self.graph.name}: a tensor {value.var.aval} of another trace came in"
                    f" {self.origin()}: what a traced function leaves behind in a list or an"
                    " attribute cannot be used elsewhere; return it instead"
                )
            return value
        known = self.memory.get(id(value))
        if known is None:
            var, constant = self._var_of(value)
            known = self.memory[id(value)] = Memory(value, self._issue(var), var, constant, {}, [])
            known.symbol.array = value
        if owner is not None and id(owner) not in known.owners:
            known.owners[id(owner)] = weakref.ref(owner)
        return known.symbol

    def read(self, symbol: Symbol) -> Var:
        """The Var that this memory holds now; views whose base has changed are taken again."""
        if symbol.base is None or not self._last_write:
            return symbol.var
        for view in root_of(symbol)[1]:
            base, step = view.base, view.step
            assert base is not None and step is not None
            if view.seen != base.version:
                (view.var,) = self.emit(step[0], [base.var], step[1])
                view.seen = base.version
                view.version += 1
        return symbol.var

    def emit(self, prim: Primitive, inputs: Sequence[Var], params: dict[str, Any]) -> list[Var]:
        """Append an equation and return what it makes."""
        outputs = [Var(a) for a in output_avals(prim, [v.aval for v in inputs], params)]
        self.graph.equations.append(
            Equation(prim, tuple(inputs), dict(params), tuple(outputs), self.origin())
        )
        return outputs

    def origin(self) -> Origin:
        """The user's line that is running."""
        frame = user_frame(sys._getframe(1))
        path = module_path(local.c.scope, self._paths)
        return Origin(None, 0, path) if frame is None else Origin(frame.f_code, frame.f_lasti, path)

    def issued(self) -> list[Symbol]:
        """Symbols that somebody still holds, when the trace is over."""
        self._options.clear()
        return [s for s in (ref() for ref in self._issued) if s is not None]

    def _issue(self, var: Var) -> Symbol:
        out = Symbol(self, var)
        self._issued.append(weakref.ref(out))
        return out

    def _var_of(self, array: np.ndarray) -> tuple[Var, bool]:
        """A Var for an array from outside, and whether it is a constant: a repeated number becomes
        `expand` of a 0-d one.
        """
        if array.flags.writeable or any(array.strides) or not array.size:
            return Var(aval_of(array)), False
        number = np.array(array[(0,) * array.ndim])
        key = (number.dtype.char, number.tobytes())
        var = self._splats.get(key)
        if var is None:
            var = self._splats[key] = Var(aval_of(number))
            self.graph.constants[var] = number
        if not array.ndim:
            return var, True
        return self.emit(movement.expand_p, [var], {"shape": array.shape})[0], True

    # ------------------------------------------------------------------ views
    def _link(self, out: Symbol, base: Symbol, prim: Primitive, params: dict[str, Any]) -> None:
        """Make `out` a view of `base` where eager mode would: reshape copies what does not lie in
        the right order, flip and pad always copy.
        """
        assert isinstance(prim.lower, View)
        if not prim.lower.shares:
            layout = layout_of(base)
            if layout is None:
                root_of(base)[0].doubtful.append(weakref.ref(out))
            elif layout.size and not np.may_share_memory(layout, prim.eager(layout, **params)):
                return
        out.base, out.step, out.seen = base, (prim, params), base.version

    def _joined(self, root: Symbol, chain: Sequence[Symbol], new: Var) -> Symbol:
        """root with `new` at the place of the view at the end of the chain."""
        like = np.empty(root.shape, bool) if root.array is None else root.array
        region = mask = np.zeros_like(like, bool)
        for view in chain:
            assert view.step is not None
            region = view.step[0].eager(region, **view.step[1])
        region[...] = True
        spread = wrap(self._issue(new), None)
        for view in reversed(chain):
            assert view.base is not None and view.step is not None
            rule: Any = view.step[0].vjp[0]
            spread = rule(spread, None, view.base.var.aval, **view.step[1])
        before = wrap(self._issue(self.read(root)), None)
        return apply(WHERE, wrap(mask, None), spread, before).value  # type: ignore[no-any-return]


def _part(options: dict[str, Any], name: str, i: int) -> Callable[[], float]:
    return lambda: float(options[name][i])


# Primitives whose kernels lay out their result in row-major order, whatever they are given.
ROW_MAJOR = frozenset({movement.clone_p, movement.unslice_p, MATMUL, LINEAR})
