"""Modules that hold modules: Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from clearprop.nn import tree
from clearprop.nn.module import Module

N = TypeVar("N", bound="Numbered")


def position(i: Any, n: int, what: str) -> int:
    """The index i of n things as a number from 0."""
    at = i.__index__()
    if not -n <= at < n:
        raise IndexError(f"{what}: index {at} is out of range, there are {n}")
    return int(at % n)


class Numbered(Module):
    """Children in an order, under the names 0, 1, 2, ..."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def _name_at(self, i: Any) -> str:
        return list(self._modules)[position(i, len(self), type(self).__name__)]

    def __setitem__(self, i: int, module: Module) -> None:
        setattr(self, self._name_at(i), module)

    def __delitem__(self, i: Any) -> None:
        names = list(self._modules)
        for name in names[i] if isinstance(i, slice) else [self._name_at(i)]:
            del self._modules[name]
        self._renumber(list(self))

    def _renumber(self, modules: list[Any]) -> None:
        self._modules.clear()
        for i, m in enumerate(modules):
            self.add_module(str(i), m)

    def append(self: N, module: Module) -> N:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self: N, modules: Iterable[Module]) -> N:
        """Add several modules at the end."""
        for m in list(modules):
            self.append(m)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Add a module before position index."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        kept = list(self)
        kept.insert(index, module)
        self._renumber(kept)
        return self

    def pop(self, index: int) -> Any:
        """Take out the module at position index, and return it."""
        module = self._modules[self._name_at(index)]
        del self[index]
        return module


class Sequential(Numbered):
    """Modules one after the other: x -> m0 -> m1 -> ... Takes modules, or one dict of named ones.

    >>> import clearprop as cp
    >>> cp.nn.Sequential(cp.nn.Linear(2, 3), cp.nn.Tanh())(cp.zeros(5, 2)).shape
    (5, 3)
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, m in modules[0].items():
                self.add_module(name, m)
        else:
            self.extend(modules)

    def forward(self, x: Any) -> Any:
        for m in self._modules.values():
            x = m(x)  # type: ignore[misc]
        return x

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):  # a part keeps the names
            return type(self)(dict(list(self._modules.items())[i]))
        return self._modules[self._name_at(i)]

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return self.extend(other)


class ModuleList(Numbered):
    """A list of modules that are registered (a plain list hides its modules from parameters()).

    >>> import clearprop as cp
    >>> layers = cp.nn.ModuleList([cp.nn.Linear(2, 2) for _ in range(3)])
    >>> layers
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(list(self)[i])
        return self._modules[self._name_at(i)]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> ModuleList:
        return self.extend(other)

    def _child_lines(self, children: list[tuple[str, str]]) -> list[str]:
        return tree.numbered_lines(children)


class ModuleDict(Module):
    """A dict of modules that are registered.

    >>> import clearprop as cp
    >>> heads = cp.nn.ModuleDict({"age": cp.nn.Linear(4, 1), "kind": cp.nn.Linear(4, 3)})
    >>> heads["kind"](cp.zeros(2, 4)).shape
    (2, 3)
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Any) -> None:
        """Add the modules of a mapping, or of pairs (name, module)."""
        for name, m in dict(modules).items():
            self[name] = m

    def __getitem__(self, key: str) -> Any:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Take out all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Any:
        """Take out the module of that name, and return it."""
        return self._modules.pop(key)

    def keys(self) -> Any:
        """The names."""
        return self._modules.keys()

    def items(self) -> Any:
        """Pairs of name and module."""
        return self._modules.items()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()
