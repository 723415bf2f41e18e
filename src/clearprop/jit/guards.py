"""What a compiled function depends on besides its arguments: names that its code looks up."""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable, Iterator
from typing import Any

_PLAIN = (bool, int, float, str, bytes, type(None))


class Names:
    """The values of the global names and of the closure of a function, as they were."""

    def __init__(self, function: Callable[..., Any]) -> None:
        plain = _plain_function(function)
        self.globals: dict[str, Any] = {}
        self.cells: list[tuple[Any, Any]] = []
        self.space: dict[str, Any] = {}
        if plain is None:
            return
        self.space = plain.__globals__
        for name in dict.fromkeys(_names(plain.__code__)):
            if name in self.space and not hasattr(builtins, name):
                self.globals[name] = self.space[name]
        self.cells = [(cell, _content(cell)) for cell in plain.__closure__ or ()]

    def changed(self) -> str | None:
        """The first name that has another value now; None if all are the same."""
        for name, value in self.globals.items():
            if not _same(self.space.get(name), value):
                return f"global {name}"
        for cell, value in self.cells:
            if not _same(_content(cell), value):
                return "a variable of the enclosing function"
        return None


def _plain_function(function: Any) -> types.FunctionType | None:
    """The Python function behind a method, a decorated function or a callable object."""
    found = getattr(function, "__func__", function)
    if isinstance(found, types.FunctionType):
        return found
    call = vars(type(function)).get("__call__")
    return call if isinstance(call, types.FunctionType) else None


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names(constant)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None


def _same(a: Any, b: Any) -> bool:
    return a is b or (type(a) is type(b) and isinstance(a, _PLAIN) and a == b)
