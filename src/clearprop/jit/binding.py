"""A version of a compiled function made ready for calls without Python: its record."""

from __future__ import annotations

import ctypes
import functools
import sys
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from clearprop.core import Tensor, grad_of, version_cell, wrap
from clearprop.core.state import changes, local
from clearprop.core.tree import tensors_in
from clearprop.graph import Traced
from clearprop.jit import builtin, objects, record
from clearprop.jit.callable import NativeCallable
from clearprop.jit.guards import Names
from clearprop.jit.memory import size_of
from clearprop.jit.program import Program

KEPT = 4096  # bytes up to which the memory of a result is used again when nobody has it any more
LONG = 5e5  # multiplications of a step, a few microseconds, from which on other threads may run
Gradients = dict[int, tuple[Tensor, np.ndarray]]  # by the id of the tensor that they belong to


class Binding:
    """A record, and what it points to. With `many`, a call makes so many steps, and arguments and
    results have an axis of that size in front.
    """

    def __init__(
        self,
        traced: Traced,
        program: Program,
        names: Names,
        args: tuple[Any, ...],
        gradients: Gradients,
        fail: Any,
        many: int = 0,
    ) -> None:
        self.traced = traced
        self.many = many
        self.program = program
        self.names = names
        self.outputs = np.zeros((0, record.WORDS["outputs"]), np.int64)
        self.keep: list[Any] = [fail]
        self.table = self._new_table()
        self.numbers = [np.zeros(v.aval.shape, v.aval.dtype.np) for v in self._number_vars()]
        first = len(traced.graph.inputs) - len(self.numbers)
        for i, array in enumerate(self.numbers):
            self.table[first + i] = array.ctypes.data
        self.fields = builtin.common() | {
            "busy": program.busy.ctypes.data,
            "step": builtin.code().address("steps") if many else program.entry,
            "table": self.table.ctypes.data,
            "context": id(local.c),
            "thread": this_thread(),
            "grad_mode": id(local.c.grad),
            "fail": id(fail),
            "release": int(
                program.layout.work * max(1, many) > LONG and not program.layout.callbacks
            ),
            "many": int(isinstance(traced.result, tuple)),
        }
        self._table("arguments", self._arguments(args))
        self._table("tensors", self._tensors(args))
        self._table("apart", self._apart(tensors_in(args)))
        self._table("draws", self._draws())
        self._table("words", self._words())
        self._table("names", self._names())
        self._table("grads", self._gradients(gradients))
        self._table("written", self._written(args))
        self.outputs = self._table("outputs", self._outputs())
        self.fields["arguments"] = len(args)
        self.record = np.zeros(len(record.FIELDS), np.int64)
        for name, value in self.fields.items():
            self.record[record.FIELDS.index(name)] = value
        self.refresh()
        self._set("enabled", 1)
        self.context = weakref.ref(local.c, functools.partial(_disable, self.record))

    def __del__(self) -> None:
        for kept in self.outputs[:, 5:].ravel() if not sys.is_finalizing() else ():
            if kept:
                ctypes.pythonapi.Py_DecRef(ctypes.c_void_p(int(kept)))

    def refresh(self) -> None:
        """Look options up again, after something has changed that turned out to be harmless."""
        named = zip(self._number_vars(), self.numbers, self.traced.numbers, strict=True)
        for v, array, number in named:
            if v.hint:
                array[...] = number()
        self._set("expected", changes[0])

    @property
    def calls(self) -> int:
        """How many steps were made by the record."""
        return int(self.record[record.FIELDS.index("calls")]) * max(1, self.many)

    def follow(self, other: Binding | None) -> None:
        """Name the record that is tried when this one does not fit."""
        self._set("next", 0 if other is None else other.record.ctypes.data)

    def _new_table(self) -> np.ndarray:
        """Addresses for the step; in front of them, for many steps, what the loop over them wants:
        the step, how many, and the places whose addresses move on by so many bytes.
        """
        table = self.program.new_table()
        if not self.many:
            return table
        graph, traced = self.traced.graph, self.traced
        results = sorted(int(t.value) for t in tensors_in(traced.result))
        places = [*range(traced.arguments), *(len(graph.inputs) + i for i in results)]
        values = (*graph.inputs, *graph.outputs)
        moves = np.array([(i, size_of(values[i])) for i in places] or [(0, 0)], np.int64)
        front = [self.program.entry, self.many, moves.ctypes.data, len(places)]
        whole = np.concatenate([np.array(front, np.uintp), table])
        self.keep += [moves, whole]
        return whole[len(front) :]

    def _set(self, name: str, value: int) -> None:
        self.record[record.FIELDS.index(name)] = value

    def _number_vars(self) -> Any:
        n = len(self.traced.numbers)
        return self.traced.graph.inputs[len(self.traced.graph.inputs) - n :] if n else ()

    def _table(self, name: str, rows: list[list[int]]) -> np.ndarray:
        width = record.WORDS[name]
        table = np.zeros((max(1, len(rows)), width), np.int64)
        for i, row in enumerate(rows):
            table[i, : len(row)] = row
        self.keep.append(table)
        self.fields[name], self.fields[f"{name}_table"] = len(rows), table.ctypes.data
        return table

    def _sizes(self, shape: tuple[int, ...]) -> int:
        sizes = np.array(shape or (0,), np.int64)
        self.keep.append(sizes)
        return sizes.ctypes.data

    # ------------------------------------------------------------------ tables
    def _arguments(self, args: tuple[Any, ...]) -> list[list[int]]:
        """Other arguments must be the same objects."""
        self.keep += [x for x in args if not isinstance(x, Tensor)]
        return [[0 if isinstance(x, Tensor) else id(x)] for x in args]

    def _tensors(self, args: tuple[Any, ...]) -> list[list[int]]:
        """Where the arrays of the inputs are found."""
        rows: list[list[int]] = []
        for i, x in enumerate(args):
            if isinstance(x, Tensor):
                rows.append(self._tensor(record.GIVEN, i, x.value, len(rows), False))
        at = objects.offsets() or {}
        for source in self.traced.sources:
            array, place = source.now(), len(rows)
            assert array is not None
            if source.grad_of is not None:
                tensor: Any = source.grad_of()
                slot = id(tensor) + at["at_grad"]
                rows.append(self._tensor(record.HELD, slot, array, place, False))
            elif source.owner is not None:
                tensor = source.owner()
                wants = tensor.node is not None
                rows.append(self._tensor(record.FIXED, id(tensor), array, place, wants))
            else:  # memory that belongs to no tensor
                tensor = wrap(array, None)
                rows.append(self._tensor(record.FIXED, id(tensor), array, place, False))
            self.keep.append(tensor)
        return rows

    def _tensor(self, how: int, which: int, a: np.ndarray, place: int, wants: bool) -> list[int]:
        self.keep.append(a.dtype)
        return [how, which, id(a.dtype), a.ndim, self._sizes(a.shape), place, int(wants)]

    def _apart(self, given: list[Tensor]) -> list[list[int]]:
        """What is written to, and the arguments that it must not lie in."""
        graph = self.traced.graph
        written = [(i, size_of(v)) for i, v in enumerate(graph.inputs) if v in graph.writes]
        return [[i, size, j, x.value.nbytes] for i, size in written for j, x in enumerate(given)]

    def _words(self) -> list[list[int]]:
        """What must lie in certain places of memory."""
        at = objects.offsets() or {}
        rows: list[list[int]] = []
        for ref, _ in self.traced.conditions:
            tensor = ref()
            if tensor is not None:
                held = grad_of(tensor)
                rows.append([id(tensor) + at["at_grad"], id(held)])
                self.keep.append((tensor, held))
        rows += [[id(c) + objects.CELL_CONTENT, id(content)] for c, content in self.names.cells]
        return rows

    def _draws(self) -> list[list[int]]:
        """What is drawn at every call."""
        first = len(self.traced.graph.inputs) - len(self.traced.numbers)
        rows: list[list[int]] = []
        for i, (v, draw) in enumerate(zip(self._number_vars(), self.traced.numbers, strict=True)):
            if not v.hint:
                function = _packing(draw, v.aval.dtype.np)
                self.keep.append(function)
                rows.append([id(function), first + i])
        return rows

    def _names(self) -> list[list[int]]:
        self.keep.append(self.names)
        space = self.names.space
        return [[id(space), id(name), id(space[name])] for name in self.names.globals]

    def _gradients(self, gradients: Gradients) -> list[list[int]]:
        """A gradient that is set is computed into the same memory at every call."""
        rows: list[list[int]] = []
        first = len(self.traced.graph.inputs)
        for ref, output in self.traced.gradients:
            tensor = ref()
            if tensor is None:
                continue
            self.keep.append(tensor)
            if output is None:
                rows.append([id(tensor), id(None), 0])
                continue
            aval = self.traced.graph.outputs[output].aval
            known = gradients.get(id(tensor))
            if known is None or known[1].shape != aval.shape or known[1].dtype != aval.dtype.np:
                array = np.empty(aval.shape, aval.dtype.np)
                gradients[id(tensor)] = (wrap(array, None), array)
            gradient, array = gradients[id(tensor)]
            self.table[first + output] = array.ctypes.data
            rows.append([id(tensor), id(gradient), id(array)])
            del gradient, array
        return rows

    def _written(self, args: tuple[Any, ...]) -> list[list[int]]:
        graph = self.traced.graph
        given = tensors_in(args)
        cells: dict[int, Any] = {}
        for i, v in enumerate(graph.inputs):
            if v not in graph.writes:
                continue
            source = None if i < len(given) else self.traced.sources[i - len(given)]
            owner = given[i] if source is None else source.owner() if source.owner else None
            if owner is not None:
                cell = version_cell(owner)
                cells[id(cell)] = cell
        self.keep.append(cells)
        return [[key] for key in cells]

    def _outputs(self) -> list[list[int]]:
        """What is returned; a gradient that is returned, too, is an output of its own."""
        first = len(self.traced.graph.inputs)
        rows: list[list[int]] = []
        for t in tensors_in(self.traced.result):
            output = int(t.value)
            aval = self.traced.graph.outputs[output].aval
            self.keep.append(aval.dtype.np)
            shape = (self.many, *aval.shape) if self.many else aval.shape
            small = max(1, self.many) * size_of(self.traced.graph.outputs[output]) <= KEPT
            rows.append([id(aval.dtype.np), len(shape), self._sizes(shape), first + output,
                         int(small)])  # fmt: skip
        return rows


def why_not(traced: Traced, program: Program, args: tuple[Any, ...]) -> str | None:
    """The reason why calls of a version must go through Python; None if they need not."""
    if objects.offsets() is None:
        return "objects of this Python are laid out in another way"
    if traced.recorded:
        return "its results are on the tape"
    if not all(a.steady for a in traced.assumptions):
        return "it decides on a count of steps"
    graph = traced.graph
    drawn = [v for v in graph.inputs[len(graph.inputs) - len(traced.numbers) :] if not v.hint]
    if len(drawn) > builtin.LARGEST_RESULT:
        return "it draws many random numbers"
    tensors = [x for x in args if isinstance(x, Tensor)]
    if len(tensors) != traced.arguments or any(x.node is not None for x in tensors):
        return "its arguments are nested or want gradients"
    result = traced.result
    flat = result if isinstance(result, tuple) else (result,)
    if not (result is None or (type(result) in (tuple, Tensor) and _all_tensors(flat))):
        return "its result is neither a Tensor nor a tuple of Tensors"
    if len(tensors_in(result)) > builtin.LARGEST_RESULT:
        return "it has many results"
    places = [i for i, v in enumerate(graph.inputs) if v in graph.writes]
    if any(i < len(tensors) for i in places):
        return "it writes to its arguments"
    now = [source.now() for source in traced.sources]
    if any(array is None for array in now):
        return "a gradient that it starts from is there only the first time"
    tensors_asked = [(ref(), had) for ref, had in traced.conditions]
    if any(t is not None and (grad_of(t) is not None) != had for t, had in tensors_asked):
        return "a gradient is there now that was not, or the other way round"
    ends = {id(effect.tensor()) for effect in traced.gradients}
    starts = {id(s.grad_of()) for s in traced.sources if s.grad_of is not None}
    if ends & starts:
        return "it adds to gradients that are there"
    arrays = [*(x.value for x in tensors), *(a for a in now if a is not None)]
    if not all(a.flags.c_contiguous and a.flags.aligned for a in arrays):
        return "an array is not packed"
    outputs = [int(t.value) for t in tensors_in(result)]
    if len(set(outputs)) != len(outputs):
        return "a result is returned twice"
    return None


def _disable(numbers: np.ndarray, _: Any) -> None:
    """The thread of a record has ended; another one may get its place in memory."""
    numbers[record.FIELDS.index("enabled")] = 0


def _packed(draw: Callable[[], Any], d: np.dtype) -> np.ndarray:
    return np.ascontiguousarray(draw(), d)


def _packing(draw: Callable[[], Any], d: np.dtype) -> Callable[[], np.ndarray]:
    """draw() as a packed array of type d."""
    return functools.partial(_packed, draw, d)


def _all_tensors(parts: tuple[Any, ...]) -> bool:
    return all(type(x) is Tensor for x in parts)


def this_thread() -> int:
    """The address by which CPython knows the running thread."""
    get = ctypes.pythonapi.PyThreadState_Get
    get.restype = ctypes.c_void_p
    return int(get())


class Direct(NativeCallable):
    """An object of which nothing is known but that it can be called."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.slow(*args, **kwargs)

    def __init__(self, slow: Any) -> None:
        super().__init__()
        self.slow = slow


class Entry:
    """The records that the machine code of a compiled function tries, and the function in Python
    behind them.
    """

    def __init__(self, slow: Any) -> None:
        self.head = np.zeros(len(record.FIELDS), np.int64)
        self.slow = slow
        self.bindings: list[Binding] = []
        self.retired: deque[Binding] = deque(maxlen=4)  # another thread may be in a call of them
        self.head[record.FIELDS.index("slow")] = id(slow)

    def lead(self, function: NativeCallable) -> None:
        """Let calls of an object go to the machine code at once."""
        function.entry = self  # stays while a call is under way
        function._record = self.head.ctypes.data
        function._code = builtin.code().address("call")

    def add(self, binding: Binding) -> None:
        """Try this one first."""
        self.bindings.insert(0, binding)
        self._chain()

    def remove(self, binding: Binding | None) -> None:
        if binding in self.bindings:
            self.bindings.remove(binding)
            self.retired.append(binding)
            self._chain()

    def _chain(self) -> None:
        following: Binding | None = None
        for binding in reversed(self.bindings):
            binding.follow(following)
            following = binding
        start = 0 if following is None else following.record.ctypes.data
        self.head[record.FIELDS.index("next")] = start
