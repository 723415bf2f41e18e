"""Random programs of tensors: ops, views and in-place updates on values of several shapes.

A program is data, so that Hypothesis can shrink it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

import clearprop as cp

SHAPES = [(), (3,), (2, 3), (2, 1), (1, 3), (3, 2), (2, 3, 2)]

# Smooth and bounded, so that long programs neither overflow nor meet a kink.
UNARY: dict[str, Callable[[Any], Any]] = {
    "tanh": cp.tanh,
    "sin": cp.sin,
    "sigmoid": cp.sigmoid,
    "softplus": lambda x: cp.log1p(cp.exp(x.clamp(-3, 3))),
    "square": lambda x: cp.tanh(x) ** 2,
    "root": lambda x: (x * x + 1) ** 0.5,
    "negative": lambda x: -x,
    "scaled": lambda x: 0.5 * x - 1,
    "relu": cp.relu,
    "same": lambda x: x * 1.0,
    "detached": lambda x: x.detach() + x,
    "copy": lambda x: x.clone(),
}
SHAPED: dict[str, Callable[[Any], Any]] = {
    "sum": lambda x: x.sum(),
    "mean last": lambda x: x.mean(-1) if x.ndim else x,
    "sum first": lambda x: x.sum(0, keepdim=True) if x.ndim else x,
    "max": lambda x: x.amax(),
    "softmax": lambda x: cp.softmax(x, -1) if x.ndim else x,
    "logsumexp": lambda x: cp.logsumexp(x, 0) if x.ndim else x,
    "var": lambda x: x.var(correction=0),
    "transposed": lambda x: x.transpose(0, -1) if x.ndim > 1 else x,
    "flat": lambda x: x.reshape(-1),
    "front axis": lambda x: x.unsqueeze(0),
    "reversed": lambda x: x.flip(0) if x.ndim else x,
    "every second": lambda x: x[::2] if x.ndim else x,
    "last": lambda x: x[..., -1] if x.ndim else x,
    "picked": lambda x: x[cp.tensor([0, -1, 0])] if x.ndim else x,
    "twice": lambda x: cp.cat([x, x]) if x.ndim else x,
    "cumulated": lambda x: x.cumsum(0) if x.ndim else x,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: cp.tanh(x) * y,
    "div": lambda x, y: x / (1 + y * y),
    "max": lambda x, y: cp.maximum(x, y + 0.1),
    "where": lambda x, y: cp.where(x > y, x, 2 * y),
    "product": lambda x, y: x @ y,
    "atan2": lambda x, y: cp.atan2(x, y * y + 1),
}
INPLACE: dict[str, Callable[[Any], Any]] = {
    "add_": lambda x: x.add_(0.5),
    "mul_": lambda x: x.mul_(0.5),
    "tanh_": lambda x: x.tanh_(),
    "zero part": lambda x: x[:1].zero_() if x.ndim else x.zero_(),
    "write part": lambda x: x.__setitem__(..., x.detach() * 0.5),
}


@dataclass(frozen=True)
class Line:
    """One line: table, entry, and which of the values so far it takes, counted from the last."""

    kind: str
    name: str
    first: int
    second: int


@dataclass(frozen=True)
class Program:
    """Shapes of the inputs, and lines; `run` gives every value that a line made."""

    shapes: tuple[tuple[int, ...], ...]
    lines: tuple[Line, ...]

    def run(self, *inputs: Any) -> list[Any]:
        values = [x * 1.0 for x in inputs]
        for line in self.lines:
            x, y = (values[-1 - n % len(values)] for n in (line.first, line.second))
            try:
                if line.kind == "unary":
                    values.append(UNARY[line.name](x))
                elif line.kind == "shaped":
                    values.append(SHAPED[line.name](x))
                elif line.kind == "binary":
                    values.append(BINARY[line.name](x, y))
                else:
                    INPLACE[line.name](x)
            except cp.errors.TraceError:
                raise
            except RuntimeError:
                continue  # shapes that do not fit: the line is left out, in every mode alike
        return values


def lines() -> Any:
    tables = {"unary": UNARY, "shaped": SHAPED, "binary": BINARY, "inplace": INPLACE}
    value = st.integers(0, 9)
    one = [
        st.builds(Line, st.just(kind), st.sampled_from(sorted(table)), value, value)
        for kind, table in tables.items()
    ]
    return st.one_of(one)


def programs(longest: int = 12) -> Any:
    """Random programs with one to three inputs."""
    shapes = st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3).map(tuple)
    return st.builds(Program, shapes, st.lists(lines(), min_size=1, max_size=longest).map(tuple))
