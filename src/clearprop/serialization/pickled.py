"""The pickles inside PyTorch's files, read and written without the pickle module's power to call
whatever a file names.

    value = None | bool | int | float | str | bytes | list | tuple | dict | set of values
          | tensor | parameter | dtype | device | size

`parse` is a small machine over the opcodes that such values need. What a file may name is in
GLOBALS; a name that is not there, like any other opcode, is an error that says so. The number of
opcodes, and so the memory, is limited.
"""

from __future__ import annotations

import io
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from clearprop.core import DTYPES, Parameter, Tensor
from clearprop.errors import DataError

MOST_OPCODES = 1_000_000
MOST_BYTES = 64 << 20
FOREIGN = (
    "the file names {name}, which is no part of a state: it holds an object of a class, or a"
    " program that would run when it is unpickled. Only numbers, text, lists, dicts and tensors"
    " are read; in PyTorch, save model.state_dict() instead of the model"
)

STORAGES = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16", "LongStorage": "int64", "IntStorage": "int32",
    "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8", "BoolStorage": "bool",
}  # fmt: skip


@dataclass(frozen=True)
class Storage:
    """A storage that a file refers to: NumPy's (or 'bfloat16') type name, key, elements."""

    type: str
    key: str
    numel: int


@dataclass(frozen=True)
class Global:
    """Something that the file names, before it is called."""

    name: str


class _Mark:
    pass


_MARK = _Mark()
Rebuild = Callable[[Storage, Any, Any, Any], Tensor]


def _need(condition: Any, what: str) -> None:
    if not condition:
        raise DataError(f"damaged: {what}")


class _Machine:
    """A stack machine for the opcodes of protocol 2 that states need. `rebuild(storage, offset,
    size, stride)` makes a tensor.
    """

    def __init__(self, rebuild: Rebuild) -> None:
        self.rebuild = rebuild
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        _need(len(data) <= MOST_BYTES, f"a pickle of {len(data)} bytes")
        steps = 0
        try:
            for opcode, arg, _ in pickletools.genops(io.BytesIO(data)):
                steps += 1
                _need(steps <= MOST_OPCODES, f"more than {MOST_OPCODES} opcodes")
                if opcode.name == "STOP":
                    _need(len(self.stack) == 1, "values are left over")
                    return self.pop()
                self.step(opcode.name, arg)
        except (ValueError, IndexError, struct.error, UnicodeError, OverflowError) as error:
            if isinstance(error, DataError):
                raise
            raise DataError(f"damaged or cut off: {error}") from error
        raise DataError("cut off: the pickle has no end")

    def pop(self) -> Any:
        _need(self.stack, "a value is missing")
        value = self.stack.pop()
        _need(value is not _MARK, "a value is missing")
        return value

    def pop_mark(self) -> list[Any]:
        found: list[Any] = []
        while True:
            _need(self.stack, "a mark is missing")
            value = self.stack.pop()
            if value is _MARK:
                return found[::-1]
            found.append(value)

    def step(self, name: str, arg: Any) -> None:
        push = self.stack.append
        match name:
            case "PROTO" | "FRAME":
                pass
            case "NONE":
                push(None)
            case "NEWTRUE" | "NEWFALSE":
                push(name == "NEWTRUE")
            case (
                "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE"
                | "SHORT_BINUNICODE" | "BINBYTES" | "SHORT_BINBYTES"
            ):  # fmt: skip
                push(arg)
            case "EMPTY_DICT":
                push({})
            case "EMPTY_LIST":
                push([])
            case "EMPTY_SET":
                push(set())
            case "EMPTY_TUPLE":
                push(())
            case "MARK":
                push(_MARK)
            case "TUPLE":
                push(tuple(self.pop_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                push(tuple([self.pop() for _ in range(int(name[-1]))][::-1]))
            case "APPEND" | "APPENDS":
                items = [self.pop()] if name == "APPEND" else self.pop_mark()
                target = self.top(list)
                target.extend(items)
            case "SETITEM" | "SETITEMS":
                items = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.pop_mark()
                _need(len(items) % 2 == 0, "a key without a value")
                target = self.top(dict)
                for key, value in zip(items[::2], items[1::2], strict=True):
                    # (the hash of nested tuples can take forever)
                    _need(type(key) in (str, int, float, bool), f"the key {type(key).__name__}")
                    target[key] = value
            case "ADDITEMS":
                items = self.pop_mark()
                _need(all(type(i) in (str, int, float, bool) for i in items), "a set of containers")
                self.top(set).update(items)
            case "BINPUT" | "LONG_BINPUT" | "MEMOIZE":
                _need(self.stack, "a value is missing")
                self.memo[len(self.memo) if name == "MEMOIZE" else arg] = self.stack[-1]
            case "BINGET" | "LONG_BINGET":
                _need(arg in self.memo, f"value {arg} is not there")
                push(self.memo[arg])
            case "GLOBAL":
                push(_global(arg.replace(" ", ".", 1)))
            case "STACK_GLOBAL":
                second, first = self.pop(), self.pop()
                push(_global(f"{first}.{second}"))
            case "BINPERSID":
                push(_storage(self.pop()))
            case "REDUCE":
                arguments, function = self.pop(), self.pop()
                _need(isinstance(arguments, tuple), "arguments are no tuple")
                push(self.call(function, arguments))
            case "BUILD":
                self.pop()  # attributes of an OrderedDict (PyTorch's _metadata)
                self.top(OrderedDict)
            case _:
                raise DataError(FOREIGN.format(name=f"the opcode {name}"))

    def top(self, kind: type) -> Any:
        _need(self.stack and isinstance(self.stack[-1], kind), f"a {kind.__name__} is missing")
        return self.stack[-1]

    def call(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        name = function.name if isinstance(function, Global) else repr(type(function).__name__)
        match name, arguments:
            case "collections.OrderedDict", ():
                return OrderedDict()
            case "collections.OrderedDict", (list() as pairs,):
                _need(all(isinstance(p, list | tuple) and len(p) == 2 for p in pairs), "no pairs")
                _need(all(type(p[0]) in (str, int) for p in pairs), "keys that are no text")
                return OrderedDict(pairs)
            case "torch._utils._rebuild_tensor_v2", (Storage() as s, offset, size, stride, *_):
                return self.rebuild(s, offset, size, stride)
            case "torch._utils._rebuild_tensor", (Storage() as s, offset, size, stride):
                return self.rebuild(s, offset, size, stride)
            case "torch._utils._rebuild_parameter", (Tensor() as data, requires_grad, *_):
                return Parameter(data, bool(requires_grad) and data.is_floating_point())
            case "torch.device", (str() as kind, *_):
                return kind
            case "torch.Size", ((tuple() | list()) as size,):
                _need(all(type(n) is int for n in size), "a size of other things than numbers")
                return tuple(size)
        raise DataError(FOREIGN.format(name=f"a call of {name}"))


GLOBALS = {
    "collections.OrderedDict", "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_parameter", "torch.device", "torch.Size",
}  # fmt: skip

_DTYPES = {d.name: d for d in DTYPES}


def _global(name: str) -> Any:
    if name in GLOBALS:
        return Global(name)
    module, _, last = name.rpartition(".")
    if module in ("torch", "torch.storage") and last in STORAGES:
        return Global(last)
    if module == "torch" and last in _DTYPES:
        return _DTYPES[last]
    raise DataError(FOREIGN.format(name=name))


def _storage(pid: Any) -> Storage:
    match pid:
        case ("storage", Global(name), str(key), str(), int(numel)) if name in STORAGES:
            _need(numel >= 0, "a storage of negative size")
            return Storage(STORAGES[name], key, numel)
    raise DataError("damaged: a reference to something that is no storage")


def parse(data: bytes, rebuild: Rebuild) -> Any:
    """The value of a pickle; DataError for what is damaged, or is no state."""
    return _Machine(rebuild).run(data)


# ---------------------------------------------------------------------- writing
NAMES = {kind: name for name, kind in STORAGES.items()}


class Writer:
    """Values as a pickle that PyTorch reads with weights_only=True. `arrays[i]` is what belongs
    into storage i.
    """

    def __init__(self) -> None:
        self.out = io.BytesIO()
        self.arrays: list[np.ndarray] = []
        self.keys: dict[int, str] = {}
        self.kept: list[Any] = []

    def dump(self, value: Any) -> bytes:
        self.out.write(b"\x80\x02")
        self.put(value, "the state")
        self.out.write(b".")
        return self.out.getvalue()

    def put(self, value: Any, where: str) -> None:
        write = self.out.write
        match value:
            case None:
                write(b"N")
            case bool():
                write(b"\x88" if value else b"\x89")
            case int():
                raw = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
                if len(raw) > 255:
                    raise ValueError(f"save: {where} is a number of {len(raw)} bytes")
                write(b"\x8a" + bytes([len(raw)]) + raw)
            case float():
                write(b"G" + struct.pack(">d", value))
            case str():
                raw = value.encode("utf-8", "surrogatepass")
                write(b"X" + struct.pack("<I", len(raw)) + raw)
            case Parameter():
                self.name("torch._utils", "_rebuild_parameter")
                write(b"(")
                self.tensor(value.detach())
                self.put(value.requires_grad, where)
                self.empty_dict()
                write(b"tR")
            case Tensor():
                self.tensor(value.detach())
            case np.ndarray():
                raise TypeError(
                    f"save: {where} is a NumPy array; PyTorch's files hold tensors: use"
                    " clearprop.from_numpy(a)"
                )
            case np.generic():
                self.put(value.item(), where)
            case tuple():
                write(b"(")
                for i, part in enumerate(value):
                    self.put(part, f"{where}[{i}]")
                write(b"t")
            case list():
                write(b"](")
                for i, part in enumerate(value):
                    self.put(part, f"{where}[{i}]")
                write(b"e")
            case dict():
                if isinstance(value, OrderedDict):
                    self.empty_dict()
                    write(b"(")
                else:
                    write(b"}(")
                for key, part in value.items():
                    if type(key) not in (str, int):
                        raise TypeError(f"save: {where} has the key {key!r}; keys are str or int")
                    self.put(key, where)
                    self.put(part, f"{where}[{key!r}]")
                write(b"u")
            case _:
                raise TypeError(
                    f"save: {where} is a {type(value).__name__}; wanted numbers, text, None, lists,"
                    " tuples, dicts and tensors"
                )

    def name(self, module: str, name: str) -> None:
        self.out.write(f"c{module}\n{name}\n".encode())

    def empty_dict(self) -> None:
        self.name("collections", "OrderedDict")
        self.out.write(b")R")

    def tensor(self, x: Tensor) -> None:
        a = x.numpy()
        key = self.keys.get(id(a))
        if key is None:  # the same memory is written once
            key = self.keys[id(a)] = str(len(self.arrays))
            self.arrays.append(np.asarray(a, dtype=a.dtype.name, order="C"))
            self.kept.append(a)
        self.name("torch._utils", "_rebuild_tensor_v2")
        write, put = self.out.write, self.put
        write(b"((")
        put("storage", "")
        self.name("torch", NAMES[a.dtype.name])
        put(key, ""), put("cpu", ""), put(a.size, "")
        write(b"tQ")
        put(0, ""), put(tuple(a.shape), "")
        put(tuple(s // a.itemsize for s in np.empty(a.shape, a.dtype).strides), "")
        put(False, "")
        self.empty_dict()
        write(b"tR")
