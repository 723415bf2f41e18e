"""Write src/clearprop/core/tensor.pyi: Tensor as type checkers and editors should see it.

Most methods of Tensor are attached when `clearprop` is imported (ops/methods.py, autograd), where
no type checker can follow. This reads core/tensor.py and the attached functions and writes:

    python tools/tensor_stub.py           # write
    python tools/tensor_stub.py --check   # exit 1 if the file is not what would be written
"""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

import clearprop
from clearprop.core import tensor as module

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src/clearprop/core/tensor.py"
STUB = SOURCE.with_suffix(".pyi")

HEAD = """\
# Written by tools/tensor_stub.py from core/tensor.py, ops/methods.py and autograd: do not edit.
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from clearprop.core.device import device as Device
from clearprop.core.dtypes import Aval, dtype
from clearprop.core.primitive import Primitive
from clearprop.core.random import Generator

TensorLike = Tensor | bool | int | float | np.ndarray | np.generic
_dtype = dtype

class Extreme(NamedTuple):
    values: Tensor
    indices: Tensor

class QRPair(NamedTuple):
    Q: Tensor
    R: Tensor

class SVDOlder(NamedTuple):
    U: Tensor
    S: Tensor
    V: Tensor

class SlogdetPair(NamedTuple):
    sign: Tensor
    logabsdet: Tensor

class AMinMax(NamedTuple):
    min: Tensor
    max: Tensor

class Frexp(NamedTuple):
    mantissa: Tensor
    exponent: Tensor

class Histogram(NamedTuple):
    hist: Tensor
    bin_edges: Tensor

class RemovableHandle(Protocol):
    def remove(self) -> None: ...
"""
# A comparison or an operator of two tensors, whatever the table says of its second operand.
BINARY = {"add", "sub", "mul", "truediv", "pow", "floordiv", "mod", "matmul", "and", "or", "xor"}
OPERATORS = {
    **{f"__{side}{name}__": "Tensor" for name in BINARY for side in ("", "r", "i")},
    **{f"__{name}__": "Tensor" for name in ("eq", "ne", "lt", "le", "gt", "ge")},
}
UNARY = ("__neg__", "__pos__", "__abs__", "__invert__")
SPECIAL = {
    "__getitem__": "def __getitem__(self, index: Any) -> Tensor: ...",
    "__setitem__": "def __setitem__(self, index: Any, value: Any) -> None: ...",
    "__iter__": "def __iter__(self) -> Iterator[Tensor]: ...",
    "__contains__": "def __contains__(self, item: Any) -> bool: ...",
    "__array_ufunc__": (
        "def __array_ufunc__"
        "(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Tensor: ..."
    ),
}


def in_class(node: ast.stmt) -> str | None:
    """The stub of a statement in the body of a class or module; None for what is not shown."""
    if isinstance(node, ast.FunctionDef):
        for part in ast.walk(node.args):
            if isinstance(part, ast.arg) and part.annotation is None and part.arg != "self":
                raise SystemExit(f"{SOURCE}:{node.lineno}: argument {part.arg} has no type")
        lines = [f"@{ast.unparse(d)}" for d in node.decorator_list]
        returns = ast.unparse(node.returns) if node.returns else "None"
        return "\n".join([*lines, f"def {node.name}({ast.unparse(node.args)}) -> {returns}: ..."])
    if isinstance(node, ast.AnnAssign):
        return f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
    if isinstance(node, ast.ClassDef):
        bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
        body = [s for s in map(in_class, node.body) if s] or ["..."]
        return f"class {node.name}{bases}:\n" + indent("\n".join(body))
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        name = node.targets[0].id
        if isinstance(node.value, ast.Name) and node.value.id != "object":
            return f"{name} = {node.value.id}"
        if name in ("ViewStep",):
            return f"{name} = tuple[Primitive, dict[str, Any], Aval]"
        value = getattr(module, name, None)
        return {
            str: f"{name}: str",
            list: f"{name}: list[Any]",
            frozenset: f"{name}: frozenset[type[Tensor]]",
        }.get(type(value))
    return None


def indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


def attached(name: str, f: Any) -> str:
    """The stub of a method or property that was attached to Tensor."""
    if isinstance(f, property):
        return f"@property\ndef {name}(self) -> Tensor: ..."
    if name in SPECIAL:
        return SPECIAL[name]
    if name in OPERATORS:
        ignore = "  # type: ignore[override]" if name in ("__eq__", "__ne__") else ""
        return f"def {name}(self, other: Any) -> {OPERATORS[name]}: ...{ignore}"
    if name in UNARY:
        return f"def {name}(self) -> Tensor: ..."
    signature = inspect.signature(f)
    parts, star = ["self"], False
    for p in list(signature.parameters.values())[1:]:
        if p.name == "out":  # for the function of the same name
            continue
        kind = str(p.annotation) if p.annotation is not p.empty else "Any"
        if p.kind is p.VAR_POSITIONAL:
            star = True
            parts.append(f"*{p.name}: {kind}")
            continue
        if p.kind is p.VAR_KEYWORD:
            parts.append(f"**{p.name}: {kind}")
            continue
        if p.kind is p.KEYWORD_ONLY and not star:
            star = True
            parts.append("*")
        parts.append(f"{p.name}: {kind}" + ("" if p.default is p.empty else " = ..."))
    returns = signature.return_annotation
    result = "Tensor" if returns is signature.empty else str(returns)
    return f"def {name}({', '.join(parts)}) -> {result}: ..."


def stub() -> str:
    """The whole text of the stub."""
    assert clearprop.Tensor is module.Tensor  # everything is attached now
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    written = (
        {"nelement"}
        | {
            node.name
            for cls in tree.body
            if isinstance(cls, ast.ClassDef) and cls.name == "Tensor"
            for node in cls.body
            if isinstance(node, ast.FunctionDef)
        }
        | set(module.Tensor.__slots__)
    )
    python_own = set(vars(type("Plain", (), {})))
    names = [
        n
        for n, f in vars(module.Tensor).items()
        if n not in written and n not in python_own and (callable(f) or isinstance(f, property))
    ]
    extra = "\n".join(attached(n, vars(module.Tensor)[n]) for n in sorted(names))
    # Inside the class, `float` and others are methods: types are meant here.
    shadowed = [n for n in ("float", "int", "bool") if n in names]
    aliases = "".join(f"_{n} = {n}\n" for n in shadowed)
    out = [HEAD, aliases]
    for node in tree.body:
        text = in_class(node)
        if text is None:
            continue
        if isinstance(node, ast.ClassDef) and node.name == "Tensor":
            text += "\n" + indent(extra)
            text = unshadow(text, shadowed)
        out.append(text + "\n")
    return "\n".join(out)


def unshadow(text: str, names: list[str]) -> str:
    """`float` in the annotations of a class that has a method of that name, as `_float`."""

    class Rename(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.Name:
            if node.id in names:
                node.id = f"_{node.id}"
            if node.id == "dtype":
                node.id = "_dtype"
            return node

    lines = []
    for line in text.split("\n"):
        bare = line.strip()
        if bare.startswith("def ") or (":" in bare and not bare.startswith(("class", "@"))):
            code, _, comment = bare.partition("  #")
            node = Rename().visit(ast.parse(code))
            line = line[: len(line) - len(line.lstrip())] + ast.unparse(node).replace("\n    ", " ")
            line += f"  #{comment}" if comment else ""
        lines.append(line)
    return "\n".join(lines)


def main() -> int:
    text = stub()
    if "--check" in sys.argv:
        same = STUB.exists() and STUB.read_text(encoding="utf-8") == text
        if not same:
            print(f"{STUB}: out of date; run python tools/tensor_stub.py")
        return 0 if same else 1
    STUB.write_text(text, encoding="utf-8")
    print(f"{STUB}: {text.count('def ')} methods and functions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
