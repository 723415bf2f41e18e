"""Largest element and sum over windows, as primitives: pooling is made of them.

Windows go over the last d axes, as those of a convolution: element k of window t is x[t * stride +
k * dilation - before]. Params: `kernel`, `stride`, `dilation` (d numbers each) and `padding` (d
pairs (before, after) >= 0). Padding is -inf for the largest, 0 for the sum.

`max_pool` says which element won by its number in the window (row-major, the first of equals);
its gradient writes where winners are, and the gradient of that reads there.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from clearprop.core import Aval, Example, Pool, Tensor, apply, float64, int64, primitive, uint8
from clearprop.core.primitive import LEADING
from clearprop.ops import pooling_kernels as kernels
from clearprop.ops.convolution_kernels import output_size
from clearprop.ops.pooling_kernels import WINNERS


def _f(*shape: int) -> Aval:
    return Aval(shape, float64)


def _shape(x: Aval, kernel: Any, stride: Any, padding: Any, dilation: Any) -> tuple[int, ...]:
    lead = len(x.shape) - len(kernel)
    sizes = map(output_size, x.shape[lead:], kernel, stride, padding, dilation)
    return (*x.shape[:lead], *sizes)


def _max_shape(
    x: Aval, *, kernel: Any, stride: Any, padding: Any, dilation: Any
) -> tuple[Aval, Aval]:
    shape = _shape(x, kernel, stride, padding, dilation)
    number = uint8 if math.prod(kernel) <= WINNERS else int64
    return Aval(shape, x.dtype), Aval(shape, number)


_PLAIN = {"kernel": (2, 2), "stride": (2, 2), "padding": ((0, 0), (0, 0)), "dilation": (1, 1)}
_OVER = {"kernel": (3, 2), "stride": (2, 1), "padding": ((1, 1), (1, 0)), "dilation": (1, 2)}
_LINE = {"kernel": (3,), "stride": (1,), "padding": ((1, 1),), "dilation": (1,)}
_WIDE = {"kernel": (17, 17), "stride": (1, 2), "padding": ((0, 0), (1, 0)), "dilation": (1, 1)}
# (shape of x, of y, params)
_CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ((2, 3, 4, 5), (2, 3, 2, 2), _PLAIN),
    ((1, 2, 5, 4), (1, 2, 3, 3), _OVER),
    ((2, 5), (2, 5), _LINE),
    ((18, 18), (2, 2), _WIDE),
)

_SUMS = [
    (x, y, {k: v for k, v in p.items() if k != "dilation"})
    for x, y, p in _CASES
    if max(p["dilation"]) == 1
]


def _winners(shape: tuple[int, ...], params: dict[str, Any]) -> Any:
    """Numbers of winners as they come, for examples."""
    x = np.sin(np.arange(float(math.prod(shape)))).reshape(shape)
    return kernels.max_pool(x, **params)[1]


MAX_POOL = primitive(
    "max_pool",
    doc="The largest element of each window, and its number in the window; the first of equals.",
    eager=kernels.max_pool,
    shape=_max_shape,
    vjp=(lambda g, out, x_aval, **params: _max_rule(g, out, x_aval, params),),
    lower=Pool("max"),
    batch=LEADING,
    outputs=2,
    examples=[Example((_f(*x),), p) for x, _, p in _CASES],
)


def _max_rule(g: Any, out: Any, x_aval: Any, params: dict[str, Any]) -> Tensor:
    d = len(params["kernel"])
    return apply(MAX_POOL_INPUT, g[0], out[1], size=x_aval.shape[-d:], **params)


MAX_POOL_INPUT = primitive(
    "max_pool_input",
    doc="The gradient of max_pool: every g is added where the winner of its window is.",
    eager=kernels.max_pool_input,
    shape=lambda g, winners, *, size, **_: Aval((*g.shape[: -len(size)], *size), g.dtype),
    vjp=(
        lambda h, _out, _g, winners, *, size, **params: apply(MAX_POOL_PICK, h, winners, **params),
        None,
    ),
    lower=Pool("max", "input"),
    batch=LEADING,
    examples=[
        Example((_f(*y), Aval(y, int64)), {**p, "size": x[-len(p["kernel"]) :]},
                (None, _winners(x, p)))
        for x, y, p in _CASES
    ],
)  # fmt: skip

MAX_POOL_PICK = primitive(
    "max_pool_pick",
    doc="The elements of x where the winners of the windows are.",
    eager=kernels.max_pool_pick,
    shape=lambda x, winners, **_: Aval(winners.shape, x.dtype),
    vjp=(
        lambda g, _out, x_aval, winners, **params: apply(
            MAX_POOL_INPUT, g, winners, size=x_aval.shape[-len(params["kernel"]) :], **params
        ),
        None,
    ),
    lower=Pool("max", "pick"),
    batch=LEADING,
    examples=[Example((_f(*x), Aval(y, int64)), p, (None, _winners(x, p))) for x, y, p in _CASES],
)

SUM_POOL = primitive(
    "sum_pool",
    doc="The sum of each window.",
    eager=kernels.sum_pool,
    shape=lambda x, *, kernel, stride, padding: Aval(
        _shape(x, kernel, stride, padding, (1,) * len(kernel)), x.dtype
    ),
    vjp=(
        lambda g, _out, x_aval, **params: apply(
            SUM_POOL_INPUT, g, size=x_aval.shape[-len(params["kernel"]) :], **params
        ),
    ),
    lower=Pool("add"),
    batch=LEADING,
    examples=[Example((_f(*x),), p) for x, _, p in _SUMS],
)

SUM_POOL_INPUT = primitive(
    "sum_pool_input",
    doc="The adjoint of sum_pool: every g is added to all elements of its window.",
    eager=kernels.sum_pool_input,
    shape=lambda g, *, size, **_: Aval((*g.shape[: -len(size)], *size), g.dtype),
    vjp=(lambda h, _out, _g, *, size, **params: apply(SUM_POOL, h, **params),),
    lower=Pool("add", "input"),
    batch=LEADING,
    examples=[Example((_f(*y),), {**p, "size": x[-len(p["kernel"]) :]}) for x, y, p in _SUMS],
)
