"""Modules that hold parameters: ParameterList, ParameterDict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from clearprop.core import Parameter, Tensor
from clearprop.nn.containers import position
from clearprop.nn.module import Module


def as_parameter(x: Any) -> Parameter:
    """x itself, or its values as a parameter."""
    return x if isinstance(x, Parameter) else Parameter(x)


def _lines(parameters: dict[str, Any]) -> str:
    return "\n".join(f"({name}): Parameter {_size(p)}" for name, p in parameters.items())


def _size(p: Tensor) -> str:
    return f"of {p.dtype.name}[{','.join(map(str, p.shape))}]"


class ParameterList(Module):
    """A list of parameters that are registered; tensors become parameters.

    >>> import clearprop as cp
    >>> weights = cp.nn.ParameterList([cp.ones(2), cp.ones(3)])
    >>> [name for name, _ in weights.named_parameters()]
    ['0', '1']
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(values or ())

    def append(self, value: Any) -> ParameterList:
        """Add a parameter at the end."""
        self.register_parameter(str(len(self)), as_parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add several parameters at the end."""
        for v in list(values):
            self.append(v)
        return self

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return type(self)(list(self)[i])
        return self._parameters[str(position(i, len(self), "ParameterList"))]

    def __setitem__(self, i: int, value: Any) -> None:
        self._parameters[str(position(i, len(self), "ParameterList"))] = as_parameter(value)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._parameters.values())

    def extra_repr(self) -> str:
        return _lines(self._parameters)


class ParameterDict(Module):
    """A dict of parameters that are registered; tensors become parameters.

    >>> import clearprop as cp
    >>> weights = cp.nn.ParameterDict({"left": cp.ones(2), "right": cp.ones(3)})
    >>> weights["right"].requires_grad
    True
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self.update(parameters or {})

    def update(self, parameters: Any) -> None:
        """Add the parameters of a mapping, or of pairs (name, parameter)."""
        for name, p in dict(parameters).items():
            self[name] = p

    def __getitem__(self, key: str) -> Any:
        return self._parameters[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._parameters[key]

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __contains__(self, key: object) -> bool:
        return key in self._parameters

    def keys(self) -> Any:
        """The names."""
        return self._parameters.keys()

    def items(self) -> Any:
        """Pairs of name and parameter."""
        return self._parameters.items()

    def values(self) -> Any:
        """The parameters."""
        return self._parameters.values()

    def extra_repr(self) -> str:
        return _lines(self._parameters)
