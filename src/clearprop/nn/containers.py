"""Modules that hold modules: Sequential, ModuleList, ModuleDict; and lists and dicts of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from clearprop.core import Parameter
from clearprop.nn.module import Module


class _Numbered(Module):
    """Children under the names 0, 1, 2, ..."""

    def _position(self, i: int) -> str:
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"index {i} is out of range for {type(self).__name__} of {n} modules")
        return str(i % n)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return (
                type(self)(*list(self)[i])
                if isinstance(self, Sequential)
                else type(self)(list(self)[i])
            )
        return list(self._modules.values())[int(self._position(i))]

    def __setitem__(self, i: int, module: Module) -> None:
        self._modules[list(self._modules)[int(self._position(i))]] = module

    def __delitem__(self, i: Any) -> None:
        kept = list(self)
        del kept[i]
        self._refill(kept)

    def _refill(self, modules: Iterable[Any]) -> None:
        self._modules.clear()
        for i, m in enumerate(modules):
            self.add_module(str(i), m)

    def append(self, module: Module) -> Any:
        """Add a module at the end."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add several modules at the end."""
        for m in modules:
            self.append(m)
        return self

    def insert(self, i: int, module: Module) -> Any:
        """Add a module before position i."""
        kept = list(self)
        kept.insert(i, module)
        self._refill(kept)
        return self


class Sequential(_Numbered):
    """Modules one after the other: x -> m0 -> m1 -> ...

    >>> import clearprop as cp
    >>> cp.nn.Sequential(cp.nn.Linear(2, 3), cp.nn.Tanh())(cp.zeros(5, 2)).shape
    (5, 3)
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = (
            modules[0].items()
            if len(modules) == 1 and isinstance(modules[0], Mapping)
            else ((str(i), m) for i, m in enumerate(modules))
        )
        for name, m in named:
            self.add_module(name, m)

    def forward(self, x: Any) -> Any:
        for m in self._modules.values():
            x = m(x)  # type: ignore[misc]
        return x


class ModuleList(_Numbered):
    """A list of modules that are registered (a plain list hides its modules from parameters())."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)


class ModuleDict(Module):
    """A dict of modules that are registered."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def update(self, modules: Mapping[str, Module]) -> None:
        for name, m in modules.items():
            self[name] = m

    def __getitem__(self, name: str) -> Any:
        return self._modules[name]

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __delitem__(self, name: str) -> None:
        del self._modules[name]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def keys(self) -> Any:
        return self._modules.keys()

    def items(self) -> Any:
        return self._modules.items()

    def values(self) -> Any:
        return self._modules.values()


class ParameterList(Module):
    """A list of parameters that are registered."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        for v in values:
            self.append(v)

    def append(self, value: Any) -> ParameterList:
        self.register_parameter(
            str(len(self)), value if isinstance(value, Parameter) else Parameter(value)
        )
        return self

    def __getitem__(self, i: int) -> Any:
        return list(self._parameters.values())[i]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())
