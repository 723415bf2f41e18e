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

from clearprop.core import Aval, Contract, Example, apply, float64, primitive
from clearprop.ops import convolution_kernels as kernels
from clearprop.ops.convolution_kernels import output_size


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
    lower=Contract(),
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
    lower=Contract(),
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
    lower=Contract(),
    examples=[Example((_f(*x), _f(*y)), {**p, "kernel": w[2:]}) for x, w, y, p in _CASES],
)


__all__: list[str] = []
