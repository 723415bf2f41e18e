"""Making tensors: from data, filled, ranges, random."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clearprop.core import Tensor, as_dtype, dtype, from_numpy_dtype, get_default_dtype, int64, wrap
from clearprop.core import random as random_module
from clearprop.core.device import require_cpu
from clearprop.core.events import listeners, tell
from clearprop.core.random import Generator
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops.broadcasting import here

Size = Any


def sizes(op: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """`f(2, 3)`, `f((2, 3))` and `f([2, 3])` as (2, 3)."""
    if len(size) == 1 and isinstance(size[0], tuple | list):
        size = tuple(size[0])
    out = []
    for n in size:
        try:
            n = n.__index__()
        except AttributeError:
            raise TypeError(f"{op}: sizes must be integers, got {n!r}{here()}") from None
        if n < 0:
            raise ShapeError(
                f"{op}: Trying to create tensor with negative dimension {n}: {list(size)}{here()}"
            )
        out.append(n)
    return tuple(out)


def _cpu(device: Any) -> None:
    require_cpu(device)


def _finish(value: np.ndarray, requires_grad: bool = False) -> Tensor:
    out = wrap(value, None)
    return out.requires_grad_() if requires_grad else out


def tensor(
    data: Any, *, dtype: dtype | None = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """A new tensor with a copy of `data` (numbers, nested lists, arrays, tensors).

    Python floats give float32, ints int64, bools bool; arrays keep their dtype.

    >>> import clearprop as cp
    >>> cp.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    _cpu(device)
    if isinstance(data, Tensor):
        value = data.array("tensor()")
    elif isinstance(data, np.ndarray | np.generic):
        value = np.asarray(data)
    else:
        value = _from_python(data)
    if dtype is None:
        if value.dtype == np.float64 and not isinstance(data, Tensor | np.ndarray | np.generic):
            target = value.dtype if _has_numpy64(data) else get_default_dtype().np
        else:
            target = from_numpy_dtype(value.dtype).np
    else:
        target = as_dtype(dtype).np
    out = _finish(np.array(value, dtype=target, order="C"), requires_grad)
    if listeners:
        tell("import", data, out)
    return out


def _has_numpy64(data: Any) -> bool:
    while isinstance(data, list | tuple) and data:
        data = data[0]
    return isinstance(data, np.ndarray | np.generic) or (
        isinstance(data, Tensor) and data.dtype.name == "float64"
    )


def _ragged(data: Any) -> str:
    """What makes a nested list no array."""
    rows, dim = [data], 0
    while all(isinstance(row, list | tuple) for row in rows):
        n = len(rows[0])
        other = next((len(row) for row in rows if len(row) != n), None)
        if other is not None:
            return f"expected sequence of length {n} at dim {dim} (got {other})"
        rows, dim = [x for row in rows for x in row], dim + 1
    return "expected sequences of equal length at every level, and numbers at the last"


def _from_python(data: Any) -> np.ndarray:
    try:
        value = np.asarray(_plain(data))
    except ValueError:
        raise ValueError(f"tensor: {_ragged(data)}{here()}") from None
    if value.dtype.kind in "OUSc":
        raise TypeError(
            f"tensor: numbers wanted, got elements that NumPy reads as {value.dtype} (from"
            f" {type(data).__name__}){here()}"
        )
    return value if value.size else value.astype(get_default_dtype().np)


def _plain(data: Any) -> Any:
    if isinstance(data, Tensor):
        return data.detach().array("tensor()")
    if isinstance(data, list | tuple):
        return [_plain(item) for item in data]
    return data


def as_tensor(data: Any, dtype: dtype | None = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory with an array, itself if it is a tensor of that dtype."""
    _cpu(device)
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray):
        return from_numpy(data) if dtype is None else from_numpy(data).to(dtype)
    return tensor(data, dtype=dtype)


def from_numpy(array: np.ndarray) -> Tensor:
    """A tensor that shares memory with a NumPy array (a read-only array is copied)."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected np.ndarray (got {type(array).__name__}){here()}")
    from_numpy_dtype(array.dtype)
    out = wrap(array if array.flags.writeable else array.copy(), None)
    if listeners:
        tell("import", array, out)
    return out


def asarray(
    obj: Any,
    *,
    dtype: dtype | None = None,
    device: Any = None,
    copy: bool | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """`obj` as a tensor: sharing memory where it can (copy=False: always), or as a copy."""
    shared = isinstance(obj, Tensor | np.ndarray) or hasattr(obj, "__dlpack__")
    if copy is False and not shared:
        raise ValueError(
            f"asarray: can't alias arbitrary sequence: {type(obj).__name__} has no memory to share"
        )
    if not shared:
        return tensor(obj, dtype=dtype, requires_grad=requires_grad, device=device)
    t = as_tensor(obj if isinstance(obj, Tensor | np.ndarray) else from_dlpack(obj), None, device)
    out = t if dtype is None else t.to(dtype)
    if copy is False and out is not t:
        raise ValueError(f"asarray: can't alias a tensor of another dtype: {t.aval} as {dtype}")
    if copy and out is t:
        out = wrap(t.array("asarray()").copy(), None)
    return out.requires_grad_() if requires_grad else out


def scalar_tensor(
    s: float, *, dtype: dtype | None = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """A 0-d tensor of the default dtype, whatever kind of number s is."""
    d = get_default_dtype() if dtype is None else dtype
    return tensor(s, dtype=d, requires_grad=requires_grad, device=device)


def frombuffer(
    buffer: Any, *, dtype: dtype, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Tensor:
    """A vector over the memory of an object such as a bytearray (read-only ones are copied)."""
    value = np.frombuffer(buffer, as_dtype(dtype).np, count, offset)
    return _finish(value if value.flags.writeable else value.copy(), requires_grad)


def from_dlpack(x: Any) -> Tensor:
    """A tensor over the memory of any object that speaks DLPack (zero copy)."""
    return from_numpy(np.from_dlpack(x))


def _filled(name: str, number: float) -> Any:
    def fill(
        *size: Any, dtype: dtype | None = None, requires_grad: bool = False, device: Any = None
    ) -> Tensor:
        _cpu(device)
        d = get_default_dtype() if dtype is None else as_dtype(dtype)
        return _finish(np.full(sizes(name, size), number, d.np), requires_grad)

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = f"A tensor filled with {number:g}: `{name}(2, 3)` or `{name}((2, 3))`."
    return fill


zeros, ones, empty = _filled("zeros", 0.0), _filled("ones", 1.0), _filled("empty", 0.0)


def full(
    size: Size,
    fill_value: float,
    *,
    dtype: dtype | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """A tensor of the given size filled with one number; its dtype is the number's."""
    _cpu(device)
    size = size if isinstance(size, tuple | list) else (size,)
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    d = as_dtype(type(fill_value)) if dtype is None else as_dtype(dtype)
    return _finish(np.full(sizes("full", tuple(size)), fill_value, d.np), requires_grad)


def _like(name: str, number: float) -> Any:
    def fill(
        x: Tensor, *, dtype: dtype | None = None, requires_grad: bool = False, device: Any = None
    ) -> Tensor:
        _cpu(device)
        d = x.dtype if dtype is None else as_dtype(dtype)
        return _finish(np.full(x.shape, number, d.np), requires_grad)

    fill.__name__ = fill.__qualname__ = name
    fill.__doc__ = f"A tensor of {number:g}s with the shape and dtype of x."
    return fill


zeros_like, ones_like, empty_like = (
    _like("zeros_like", 0),
    _like("ones_like", 1),
    _like("empty_like", 0),
)


def full_like(
    x: Tensor,
    fill_value: float,
    *,
    dtype: dtype | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """A tensor of one number with the shape and dtype of x."""
    return full(
        x.shape,
        fill_value,
        dtype=x.dtype if dtype is None else dtype,
        requires_grad=requires_grad,
        device=device,
    )


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: dtype | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """start, start + step, ... below end; integers give int64, floats float32."""
    _cpu(device)
    if end is None:
        start, end = 0, start
    if step == 0:
        raise DtypeError(f"arange: step must be nonzero{here()}")
    n = math.ceil((end - start) / step)
    if n < 0:
        raise DtypeError(
            f"arange: upper bound and lower bound inconsistent with step sign: {start}, {end},"
            f" {step}{here()}"
        )
    floating = any(isinstance(v, float) for v in (start, end, step))
    d = (get_default_dtype() if floating else int64) if dtype is None else as_dtype(dtype)
    return _finish((start + step * np.arange(n)).astype(d.np), requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: dtype | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """`steps` numbers from start to end, both included, evenly spaced."""
    if steps < 0:
        raise ShapeError(f"linspace: number of steps must be non-negative, got {steps}{here()}")
    _cpu(device)
    d = get_default_dtype() if dtype is None else as_dtype(dtype)
    return _finish(np.linspace(start, end, steps).astype(d.np), requires_grad)


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    dtype: dtype | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """`steps` powers of base with evenly spaced exponents from start to end, both included."""
    if steps < 0:
        raise ShapeError(f"logspace: number of steps must be non-negative, got {steps}{here()}")
    _cpu(device)
    d = get_default_dtype() if dtype is None else as_dtype(dtype)
    return _finish(
        np.power(float(base), np.linspace(start, end, steps)).astype(d.np), requires_grad
    )


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: dtype | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """The identity matrix (n, n), or (n, m) with ones on the diagonal."""
    _cpu(device)
    d = get_default_dtype() if dtype is None else as_dtype(dtype)
    return _finish(np.eye(n, m, dtype=d.np), requires_grad)


# ---------------------------------------------------------------------- random
def _random(
    shape: tuple[int, ...],
    d: dtype,
    draw: Any,
    generator: Generator | None,
    requires_grad: bool = False,
) -> Tensor:
    out = wrap(random_module.drawn(shape, d, draw, generator), None)
    return out.requires_grad_() if requires_grad else out


def _drawn(name: str, doc: str, draw: Any) -> Any:
    def sample(
        *size: Any,
        generator: Generator | None = None,
        dtype: dtype | None = None,
        requires_grad: bool = False,
        device: Any = None,
    ) -> Tensor:
        _cpu(device)
        d = get_default_dtype() if dtype is None else as_dtype(dtype)
        shape = sizes(name, size)
        return _random(shape, d, lambda g: draw(g, shape, d.np), generator, requires_grad)

    sample.__name__ = sample.__qualname__ = name
    sample.__doc__ = doc
    return sample


rand = _drawn(
    "rand",
    "Uniform numbers in [0, 1), PyTorch's for the same seed.",
    lambda g, size, d: g.uniform(size, d),
)
randn = _drawn(
    "randn",
    "Normal numbers with mean 0 and standard deviation 1, PyTorch's for the same seed.",
    lambda g, size, d: g.normal(size, d),
)


def rand_like(
    x: Tensor,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """Uniform numbers in [0, 1) with the shape and dtype of x."""
    d = x.dtype if dtype is None else dtype
    options = {"generator": generator, "requires_grad": requires_grad, "device": device}
    return rand(x.shape, dtype=d, **options)  # type: ignore[no-any-return]


def randn_like(
    x: Tensor,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """Standard normal numbers with the shape and dtype of x."""
    d = x.dtype if dtype is None else dtype
    options = {"generator": generator, "requires_grad": requires_grad, "device": device}
    return randn(x.shape, dtype=d, **options)  # type: ignore[no-any-return]


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    device: Any = None,
) -> Tensor:
    """Integers in [low, high): `randint(high, size)` or `randint(low, high, size)`."""
    _cpu(device)
    if size is None:
        low, high, size = 0, low, high
    d = int64 if dtype is None else as_dtype(dtype)
    shape = sizes("randint", (tuple(size),))
    return _random(shape, d, lambda g: g.randint(low, high, shape), generator)


def randint_like(
    x: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: dtype | None = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """Integers in [low, high), or [0, low), with the shape and dtype of x."""
    low, high = (0, low) if high is None else (low, high)
    d = x.dtype if dtype is None else dtype
    out = randint(low, high, x.shape, generator=generator, dtype=d, device=device)
    return out.requires_grad_() if requires_grad else out


def randperm(
    n: int, *, generator: Generator | None = None, dtype: dtype | None = None, device: Any = None
) -> Tensor:
    """A random permutation of 0 ... n-1."""
    _cpu(device)
    d = int64 if dtype is None else as_dtype(dtype)
    return _random((n,), d, lambda g: g.randperm(n), generator)


def normal(
    mean: Any, std: Any = 1.0, size: Any = None, *, generator: Generator | None = None
) -> Tensor:
    """Normal numbers of a mean and standard deviation (numbers with `size`, or tensors)."""
    if size is None:
        shape = np.broadcast_shapes(*(t.shape for t in (mean, std) if isinstance(t, Tensor)))
        z = randn(shape, generator=generator)
        return (z * std + mean).detach()
    shape, d = sizes("normal", (tuple(size),)), get_default_dtype()
    return _random(shape, d, lambda g: g.normal(shape, d.np, mean, std), generator)


def bernoulli(x: Tensor, p: Any = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that x says, else 0, elementwise; or with probability p, in the shape
    and dtype of x.
    """
    p, d = (x, x.dtype) if p is None else (p, x.dtype)
    chance, shape = p.detach().array("bernoulli()") if isinstance(p, Tensor) else p, x.shape
    return _random(shape, d, lambda g: g.bernoulli(chance, shape), generator)


def poisson(x: Tensor, generator: Generator | None = None) -> Tensor:
    """Poisson-distributed numbers whose rates are the elements of x (not PyTorch's stream)."""
    rates, shape = x.detach().array("poisson()"), x.shape
    return _random(shape, x.dtype, lambda g: g.poisson(rates), generator)


def binomial(count: Tensor, prob: Tensor, generator: Generator | None = None) -> Tensor:
    """How many of `count` trials of probability `prob` succeed (not PyTorch's stream)."""
    n, p = np.broadcast_arrays(
        count.detach().array("binomial()"), prob.detach().array("binomial()")
    )
    return _random(n.shape, count.dtype, lambda g: g.binomial(n, p), generator)


def multinomial(
    probs: Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
) -> Tensor:
    """Indices drawn with the given (unnormalised) probabilities, per row; PyTorch's for the same
    seed.
    """
    chances = probs.array("multinomial()")
    shape = (*probs.shape[:-1], num_samples)
    return _random(
        shape, int64, lambda g: g.multinomial(chances, num_samples, replacement), generator
    )


__all__ = [
    "arange", "as_tensor", "asarray", "bernoulli", "binomial", "empty", "empty_like", "eye",
    "from_dlpack", "from_numpy", "frombuffer", "full", "full_like", "linspace", "logspace",
    "multinomial", "normal", "ones", "ones_like", "poisson", "rand", "rand_like", "randint",
    "randint_like", "randn", "randn_like", "randperm", "scalar_tensor", "tensor", "zeros",
    "zeros_like",
]  # fmt: skip
