"""What a program computed, op by op: the record that the doctor reads.

While an `Observer` is the interpreter, every primitive that runs leaves a `Record`. Values are
known by their arrays, so the flow of data is followed where the tape stops: through detach(),
`.data`, no_grad and ops without a derivative. A record also knows the user's line, the module that
ran, and the calls of clearprop's functions on the way from that line to the primitive, with their
arguments (`cross_entropy(input, target, ...)`).
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import numpy as np

from clearprop.autograd.anomaly import Checked
from clearprop.core import Leaf, Location, Primitive, Scope, Tensor, local, locate
from clearprop.core.node import creation
from clearprop.core.provenance import module_path, user_frame


@dataclass(eq=False)
class Value:
    """One array in the flow of data. `maker` is None for what was there before: parameters,
    buffers, data; `born` is the line that made those of data.
    """

    array: np.ndarray
    maker: Record | None = None
    index: int = 0
    leaf: weakref.ref[Tensor] | None = None  # a tensor that asks for its gradient
    born: Location | None = None
    source: Value | None = None  # by way of NumPy: what it was exported from
    hint: Value | None = None  # exported before this was made of an array as long: perhaps from it

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def is_float(self) -> bool:
        return self.array.dtype.kind == "f"


@dataclass(frozen=True, eq=False)
class Use:
    """A value as an input. `tracked`: the tensor that was used had a history or asked for a
    gradient, so the tape goes on from here.
    """

    value: Value
    tracked: bool


@dataclass(eq=False)
class Call:
    """One call of a function of clearprop: `name` as in 'nn.functional.cross_entropy', its
    arguments by name, and the call around it.
    """

    name: str
    args: dict[str, Any]
    frame: FrameType
    outer: Call | None
    code: CodeType | None
    lasti: int
    scope: Scope | None
    records: list[Record] = field(default_factory=list)

    @property
    def short(self) -> str:
        """'cross_entropy'."""
        return self.name.rpartition(".")[2]

    @property
    def location(self) -> Location | None:
        return locate(self.code, self.lasti)


@dataclass(frozen=True, eq=False)
class Write:
    """An array overwritten in place: what was written, and the values from before, of a leaf."""

    target: Tensor
    array: np.ndarray
    record: Record | None
    before: np.ndarray | None
    code: CodeType | None
    lasti: int

    @property
    def location(self) -> Location | None:
        """The user's line."""
        return locate(self.code, self.lasti)


@dataclass(eq=False)
class Record:
    """One primitive that ran."""

    prim: Primitive
    params: dict[str, Any]
    uses: tuple[Use, ...]
    outs: tuple[Value, ...]
    calls: tuple[Call, ...]  # outermost first
    code: CodeType | None
    lasti: int
    scope: Scope | None
    seq: int  # the node on the tape, if there is one, has the next number
    recording: bool  # not under no_grad
    block: type | None  # the custom block inside which it ran

    @property
    def out(self) -> Value:
        return self.outs[0]

    @property
    def location(self) -> Location | None:
        """The user's line."""
        return locate(self.code, self.lasti)

    @property
    def path(self) -> str:
        """Dotted path of the module."""
        return module_path(self.scope)

    @property
    def name(self) -> str:
        """What the user called: the outermost function, or the primitive."""
        for call in self.calls:
            if (
                not call.name.startswith(("nn.module.", "nn.containers."))
                and call.short != "forward"
            ):
                return call.short
        return self.prim.name

    @property
    def tracked(self) -> bool:
        """Whether the tape holds it."""
        return self.recording and any(
            use.tracked and rule is not None
            for use, rule in zip(self.uses, self.rules(), strict=False)
        )

    def rules(self) -> tuple[Any, ...]:
        vjp = self.prim.vjp
        return vjp * len(self.uses) if self.prim.variadic else vjp

    def in_call(self, *names: str) -> Call | None:
        """The call of one of these functions that it ran in, the outermost."""
        return next((c for c in self.calls if c.short in names), None)


class Log:
    """The records since the last `clear`, and the values in them."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.values: dict[int, Value] = {}
        self.by_node: dict[int, Record] = {}
        self.calls: dict[int, Call] = {}
        self.blocks: list[type] = []
        self.writes: list[Write] = []
        self.outermost: dict[int, tuple[Scope, Call | None]] = {}  # by id of the outermost scope

    def clear(self) -> None:
        """Forget everything; what is used from now on counts as having been there before."""
        self.__init__()  # type: ignore[misc]

    def value(self, x: Tensor | np.ndarray) -> Value:
        """The value that this tensor or array holds now."""
        array = x.value if isinstance(x, Tensor) else x
        found = self.values.get(id(array))
        if found is None:
            found = self.values[id(array)] = Value(array)
        if found.leaf is None and isinstance(x, Tensor) and x.node:
            if found.maker is None:
                found.leaf = weakref.ref(x)
            elif type(x.node) is Leaf:  # a parameter that was filled: where its history begins
                found = self.values[id(array)] = Value(array, leaf=weakref.ref(x))
        return found

    def made(self, array: np.ndarray, value: Value) -> None:
        """From now on `array` holds `value`."""
        self.values[id(array)] = value

    def add(
        self, prim: Primitive, inputs: Sequence[Tensor], params: dict[str, Any], outs: Sequence[Any]
    ) -> None:
        """Note one run."""
        user, frames = _frames()
        c = local.c
        code, lasti = (None, 0) if user is None else (user.f_code, user.f_lasti)
        calls = self._calls(frames, code, lasti)
        uses = tuple(Use(self.value(x), x.node is not None) for x in inputs)
        record = Record(
            prim, params, uses, (), calls, code, lasti, c.scope, next(creation), c.grad,
            self.blocks[-1] if self.blocks else None,
        )  # fmt: skip
        record.outs = tuple(Value(a, record, i) for i, a in enumerate(outs))
        for value in record.outs:
            self.made(value.array, value)
        for call in calls:
            call.records.append(record)
        whole = self._outermost(c.scope) if c.scope is not None else None
        if whole is not None and whole not in calls:
            whole.records.append(record)
        self.records.append(record)
        self.by_node[record.seq + 1] = record

    def _outermost(self, scope: Scope) -> Call | None:
        """The call of the outermost module that is running."""
        while scope.parent is not None:
            scope = scope.parent
        known = self.outermost.get(id(scope))
        if known is None:
            known = self.outermost[id(scope)] = (scope, self._find_call(scope))
        return known[1]

    def _find_call(self, scope: Scope) -> Call | None:
        frame: FrameType | None = sys._getframe(3)
        while frame is not None:
            if frame.f_code.co_name == "__call__" and frame.f_locals.get("self") is scope.module:
                call = self.calls.get(id(frame))
                if call is not None and call.frame is frame:
                    return call
                user = frame.f_back
                while user is not None and _ours(user):
                    user = user.f_back
                code, lasti = (None, 0) if user is None else (user.f_code, user.f_lasti)
                return Call(
                    "nn.module.__call__", {"self": scope.module}, frame, None, code, lasti, scope
                )
            frame = frame.f_back
        return None

    def _calls(self, frames: list[FrameType], code: Any, lasti: int) -> tuple[Call, ...]:
        out: list[Call] = []
        for frame in frames:
            call = self.calls.get(id(frame))
            if call is None or call.frame is not frame:
                module = frame.f_globals["__name__"].removeprefix("clearprop.")
                kind = frame.f_code
                names = kind.co_varnames[: kind.co_argcount + kind.co_kwonlyargcount]
                args = {n: v for n, v in frame.f_locals.items() if n in names}
                name = f"{module}.{kind.co_name}"
                outer = out[-1] if out else None
                call = Call(name, args, frame, outer, code, lasti, local.c.scope)
                self.calls[id(frame)] = call
            out.append(call)
        return tuple(out)

    def used_by(self) -> dict[int, list[Record]]:
        """The records that use each value, by its id."""
        out: dict[int, list[Record]] = {}
        for record in self.records:
            for use in record.uses:
                out.setdefault(id(use.value), []).append(record)
        return out

    def all_calls(self, *names: str) -> Iterator[Call]:
        """The calls of the functions with these names, in order."""
        for call in self.calls.values():
            if call.short in names:
                yield call


# Wrappers, and what is below the functions that people call.
_HIDDEN = (
    "clearprop.core.", "clearprop.doctor", "clearprop.autograd", "clearprop.ops.broadcasting",
    "clearprop.ops.out",
)  # fmt: skip


def _ours(frame: FrameType) -> bool:
    name = frame.f_globals.get("__name__", "")
    return bool(name == "clearprop" or name.startswith("clearprop."))


def _frames() -> tuple[FrameType | None, list[FrameType]]:
    """The user's frame, and clearprop's own from there to the primitive, outermost first."""
    frame: FrameType | None = sys._getframe(3)
    inner = []
    while frame is not None:
        if not _ours(frame):
            break
        name = frame.f_globals["__name__"]
        if not name.startswith(_HIDDEN):
            inner.append(frame)
        frame = frame.f_back
    return frame, inner[::-1]


class Observer(Checked):
    """The eager interpreter that keeps a log: same kernels, same numbers."""

    def __init__(self, log: Log) -> None:
        super().__init__(shapes=False, finite=False)
        self.log = log

    def run(self, prim: Primitive, values: Sequence[Any], params: dict[str, Any]) -> Any:
        arrays = [v.value if isinstance(v, Tensor) else v for v in values]
        out = local.c.run(prim.eager, *arrays, **params)
        outs = tuple(map(np.asarray, out)) if prim.outputs > 1 else (np.asarray(out),)
        if all(isinstance(v, Tensor) for v in values):
            self.log.add(prim, values, params, outs)
        return outs if prim.outputs > 1 else outs[0]

    def write(self, target: Tensor, source: Tensor) -> None:
        value = self.log.value(source)
        before = target.value.copy() if type(target.node) is Leaf else None
        super().write(target, source)
        frame = user_frame(sys._getframe(1))
        code, lasti = (None, 0) if frame is None else (frame.f_code, frame.f_lasti)
        self.log.writes.append(Write(target, target.value, value.maker, before, code, lasti))
        held = Value(target.value, value.maker, value.index, source=value.source)
        self.log.made(target.value, held)
