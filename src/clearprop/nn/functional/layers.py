"""Layers: linear, bilinear."""

from __future__ import annotations

import math

from clearprop import ops
from clearprop.core import Tensor, apply
from clearprop.errors import DtypeError, ShapeError
from clearprop.ops.broadcasting import broadcast_shapes, expand_to, here, need_tensors
from clearprop.ops.contract import LINEAR
from clearprop.ops.movement import permute, reshape_to


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y = x W^T + b;  x: (..., in), W: (out, in) or (in), b: (out) or (), y: (..., out) or (...).

    >>> import clearprop as cp
    >>> cp.nn.functional.linear(cp.ones(1, 2), cp.tensor([[1.0, 2.0]]), cp.tensor([0.5]))
    tensor([[3.5000]])
    """
    need_tensors("linear", input, weight)
    if not input.ndim and weight.ndim:
        raise ShapeError(_wrong_width(input, weight))
    if not weight.ndim:
        raise ShapeError(
            "linear: both arguments to linear need to be at least 1D, but they are"
            f" {input.ndim}D and {weight.ndim}D: {input.aval}, {weight.aval}{here()}"
        )
    if input.shape[-1:] != weight.shape[-1:]:
        raise ShapeError(_wrong_width(input, weight))
    if input.value.dtype != weight.value.dtype:
        raise DtypeError(_wrong_dtype(input, weight))
    if (
        bias is not None
        and weight.ndim == 2
        and bias.shape == weight.shape[:1]
        and bias.value.dtype == weight.value.dtype
        and input.ndim > 1
    ):
        lead = input.shape[:-1]
        if len(lead) == 1:
            return apply(LINEAR, input, weight, bias)
        rows = reshape_to(input, (math.prod(lead), input.shape[-1]))
        return reshape_to(apply(LINEAR, rows, weight, bias), (*lead, weight.shape[0]))
    y = ops.matmul(input, permute(weight, (1, 0)) if weight.ndim == 2 else weight)
    if bias is None:
        return y
    if bias.value.dtype != y.value.dtype:
        raise DtypeError(
            f"linear: self and mat2 must have the same dtype, but got a bias {bias.aval} and x W^T"
            f" of {y.dtype}{here()}"
        )
    if (
        bias.shape != weight.shape[:-1]
        and broadcast_shapes("linear", bias.shape, y.shape) != y.shape
    ):
        raise ShapeError(f"linear: the bias {bias.aval} does not fit the result, {y.aval}{here()}")
    return y + expand_to(bias, y.shape)


def _wrong_dtype(x: Tensor, weight: Tensor) -> str:
    advice = f"convert it with x.to({weight.dtype})"
    if x.dtype.is_floating_point:
        advice += f", or the whole model with model.to({x.dtype})"
    return (
        f"linear: mat1 and mat2 must have the same dtype, but got {x.dtype} and {weight.dtype}: x"
        f" is {x.aval}, the layer's weight is {weight.aval}; {advice}{here()}"
    )


def _wrong_width(x: Tensor, weight: Tensor) -> str:
    wanted, got = weight.shape[-1], x.shape[-1] if x.ndim else None
    # PyTorch shows the weight transposed here, as the factor that it is
    shown = "x".join(map(str, weight.shape[::-1]))
    if x.ndim == 0:
        advice = "give it at least one axis: x.unsqueeze(0)"
    elif x.ndim > 2 and math.prod(x.shape[1:]) == wanted:
        advice = "join the axes first: nn.Flatten() before the layer, or x.flatten(1)"
    elif x.ndim >= 2 and x.shape[-2] == wanted:
        advice = "the axes are swapped: x.transpose(-1, -2)"
    elif wanted == 1 and got != 1:
        advice = "give x a last axis of size 1: x.unsqueeze(-1)"
    elif weight.ndim == 2:
        advice = f"make the layer Linear({got}, {weight.shape[0]}), or give x {wanted} features"
    else:
        advice = f"give x {wanted} features"
    return (
        f"linear: mat1 and mat2 shapes cannot be multiplied ({'x'.join(map(str, x.shape))} and"
        f" {shown}): the layer has in_features={wanted}, got"
        f" {'a 0-d tensor' if got is None else got}; x is {x.aval}, weight is {weight.aval};"
        f" {advice}{here()}"
    )


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y_o = x1^T W_o x2 + b_o;  x1: (..., in1), x2: (..., in2), W: (out, in1, in2), b: (out).

    >>> import clearprop as cp
    >>> cp.nn.functional.bilinear(cp.ones(1, 2), cp.ones(1, 3), cp.ones(1, 2, 3))
    tensor([[6.]])
    """
    need_tensors("bilinear", input1, input2, weight)
    shape = input1.shape[:-1]
    if weight.ndim != 3 or shape != input2.shape[:-1]:
        raise ShapeError(
            "bilinear(): input batch dimensions do not match: x1 is"
            f" {input1.aval}, x2 is {input2.aval}, weight is {weight.aval}{here()}"
        )
    for i, x in ((1, input1), (2, input2)):
        if x.shape[-1] != weight.shape[i]:
            raise ShapeError(
                f"bilinear(): input{i} size does not match weight size: got {x.shape[-1]} but"
                f" expected {weight.shape[i]}; x{i} is {x.aval}, weight is {weight.aval}{here()}"
            )
    left = ops.tensordot(input1, weight, ([-1], [1]))  # (..., out, in2)
    y = ops.squeeze(left @ ops.unsqueeze(input2, -1), -1)
    return y if bias is None else y + expand_to(bias, y.shape)
