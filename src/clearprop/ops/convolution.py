"""Convolution as three bilinear primitives, closed under differentiation.

    y = convolution(x, w)           x: (N, C, *S)   w: (O, C/groups, *K)   y: (N, O, *T)
    x = convolution_input(y, w)     its adjoint in x: the input gradient, a transposed convolution
    w = convolution_weight(x, y)    its adjoint in w: the weight gradient

All three are sides of one sum over n, o, c, t, k of

    y[n, o, t] * w[o, c, k] * x[n, group(o) * C/groups + c, t * stride + k * dilation - before]

where x outside 0..S is 0: fixing two of the arrays gives the third. So the rules of each are the
other two, and gradients of every order need nothing else. Params of all three, with d spatial axes:

    stride, dilation   d numbers >= 1
    padding            d pairs (before, after) >= 0
    groups             divides C and O

and the size that an adjoint cannot know: `size` = *S, `kernel` = *K. The sizes agree:
T = (S + before + after - dilation * (K - 1) - 1) // stride + 1 >= 1. All arrays have one type.
"""

from __future__ import annotations

from typing import Any

from clearprop.core import Aval, Contract, Example, Tensor, apply, float64, primitive
from clearprop.ops import convolution_kernels as kernels
from clearprop.ops.convolution_kernels import output_size
from clearprop.ops.movement import expand, permute, reshape_to


def _f(*shape: int) -> Aval:
    return Aval(shape, float64)


_TWO_AXES = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1}
_ONE_AXIS = {"stride": (2,), "padding": ((2, 1),), "dilation": (2,), "groups": 2}
_UNEVEN = {"stride": (2, 1), "padding": ((1, 1), (0, 2)), "dilation": (1, 2), "groups": 1}
_POINTWISE = {**_TWO_AXES, "groups": 2}
_THREE_AXES = {
    "stride": (1, 2, 1), "padding": ((0, 0), (1, 0), (0, 1)), "dilation": (1, 1, 1), "groups": 1,
}  # fmt: skip

# (shape of x, of w, of y, params) of some convolutions
_CASES: tuple[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ((2, 2, 4, 5), (3, 2, 3, 2), (2, 3, 2, 4), _TWO_AXES),
    ((2, 4, 9), (6, 2, 3), (2, 6, 4), _ONE_AXIS),
    ((1, 2, 5, 4), (3, 2, 2, 3), (1, 3, 3, 2), _UNEVEN),
    ((2, 4, 3, 2), (2, 2, 1, 1), (2, 2, 3, 2), _POINTWISE),
    ((2, 3, 4, 3), (3, 1, 2, 2), (2, 3, 3, 2), {**_TWO_AXES, "groups": 3}),
    ((1, 1, 2, 4, 3), (2, 1, 2, 2, 3), (1, 2, 1, 2, 2), _THREE_AXES),
)


def _output_shape(
    x: Aval, w: Aval, *, stride: Any, padding: Any, dilation: Any, groups: int
) -> Aval:
    sizes = map(output_size, x.shape[2:], w.shape[2:], stride, padding, dilation)
    return Aval((x.shape[0], w.shape[0], *sizes), x.dtype)


# ---------------------------------------------------------------------- many examples at once
def _repeated(size: int, x: Tensor, mapped: bool) -> Tensor:
    return x if mapped else expand(reshape_to(x, (1, *x.shape)), (size, *x.shape))


def _as_samples(x: Tensor) -> Tensor:
    """(B, N, C, *S) -> (B N, C, *S)."""
    return reshape_to(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _as_channels(x: Tensor) -> Tensor:
    """(B, N, C, *S) -> (N, B C, *S): the examples become groups of channels."""
    moved = permute(x, (1, 0, *range(2, x.ndim)))
    return reshape_to(moved, (x.shape[1], x.shape[0] * x.shape[2], *x.shape[3:]))


def _from_channels(y: Tensor, size: int) -> Tensor:
    """(N, B C, *S) -> (B, N, C, *S)."""
    apart = reshape_to(y, (y.shape[0], size, y.shape[1] // size, *y.shape[2:]))
    return permute(apart, (1, 0, *range(2, apart.ndim)))


def _batched(prim: Any) -> Any:
    """vmap of a convolution or its input gradient: examples are samples where the weight is the
    same for all, else groups.
    """

    def rule(
        size: int, mapped: Any, x: Tensor, w: Tensor, /, *, groups: int, **params: Any
    ) -> Tensor:
        if not mapped[1]:
            y = apply(prim(), _as_samples(x), w, groups=groups, **params)
            return reshape_to(y, (size, x.shape[1], *y.shape[1:]))
        wide = _as_channels(_repeated(size, x, mapped[0]))
        y = apply(prim(), wide, _as_samples(w), groups=groups * size, **params)
        return _from_channels(y, size)

    return rule


def _batched_weight(
    size: int, mapped: Any, x: Tensor, g: Tensor, *, groups: int, **params: Any
) -> Tensor:
    wide = [_as_channels(_repeated(size, t, m)) for t, m in zip((x, g), mapped, strict=True)]
    w = apply(CONVOLUTION_WEIGHT, *wide, groups=groups * size, **params)
    return reshape_to(w, (size, w.shape[0] // size, *w.shape[1:]))


CONVOLUTION = primitive(
    "convolution",
    doc="y[n,o,t] = sum over c, k of w[o,c,k] x[n,c, t*stride + k*dilation - padding].",
    eager=kernels.convolution,
    shape=_output_shape,
    vjp=(
        lambda g, _out, x_aval, w, **params: apply(
            CONVOLUTION_INPUT, g, w, size=x_aval.shape[2:], **params
        ),
        lambda g, _out, x, w_aval, **params: apply(
            CONVOLUTION_WEIGHT, x, g, kernel=w_aval.shape[2:], **params
        ),
    ),
    lower=Contract("windows"),
    batch=_batched(lambda: CONVOLUTION),
    examples=[Example((_f(*x), _f(*w)), p) for x, w, _, p in _CASES],
)

CONVOLUTION_INPUT = primitive(
    "convolution_input",
    doc="The adjoint of convolution in x: every g[n,o,t] w[o,c,k] is added where x was read.",
    eager=kernels.convolution_input,
    shape=lambda g, w, *, groups, size, **_: Aval(
        (g.shape[0], w.shape[1] * groups, *size), g.dtype
    ),
    vjp=(
        lambda h, _out, _g, w, *, size, **params: apply(CONVOLUTION, h, w, **params),
        lambda h, _out, g, w_aval, *, size, **params: apply(
            CONVOLUTION_WEIGHT, h, g, kernel=w_aval.shape[2:], **params
        ),
    ),
    lower=Contract("windows, input"),
    batch=_batched(lambda: CONVOLUTION_INPUT),
    examples=[Example((_f(*y), _f(*w)), {**p, "size": x[2:]}) for x, w, y, p in _CASES],
)

CONVOLUTION_WEIGHT = primitive(
    "convolution_weight",
    doc="The adjoint of convolution in w: the sum over samples and places of g times windows of x.",
    eager=kernels.convolution_weight,
    shape=lambda x, g, *, groups, kernel, **_: Aval(
        (g.shape[1], x.shape[1] // groups, *kernel), x.dtype
    ),
    vjp=(
        lambda v, _out, x_aval, g, *, kernel, **params: apply(
            CONVOLUTION_INPUT, g, v, size=x_aval.shape[2:], **params
        ),
        lambda v, _out, x, _g, *, kernel, **params: apply(CONVOLUTION, x, v, **params),
    ),
    lower=Contract("windows, weight"),
    batch=_batched_weight,
    examples=[Example((_f(*x), _f(*y)), {**p, "kernel": w[2:]}) for x, w, y, p in _CASES],
)
