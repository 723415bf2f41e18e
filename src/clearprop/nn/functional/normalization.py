"""Normalisation: elements minus a mean, over a standard deviation. What differs is over which axes
both are taken: the batch, the features, groups of channels, one channel of one example.

Variances divide by n; only the running variance of batch_norm divides by n - 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.errors import DtypeError, ShapeError, UnsupportedDtypeError
from clearprop.nn.functional.standardized import LAYER_NORM, standardised
from clearprop.ops.broadcasting import dims_by_any_name, expand_to, here, need_tensors
from clearprop.ops.movement import reshape_to, slice_, unslice

MIXED = (
    "{op}: mixed dtype (CPU): all inputs must share same datatype, got {x} and {other}; convert"
    " with .to(...), the whole model with model.to(...){here}"
)


def _floating(op: str, x: Tensor) -> None:
    need_tensors(op, x)
    if not x.is_floating_point():
        raise UnsupportedDtypeError(
            f'{op}: "{op}" not implemented for {x.aval}; use x.float(){here()}'
        )


def _same_dtype(op: str, x: Tensor, *others: Tensor | None) -> None:
    for other in others:
        if other is not None and other.dtype is not x.dtype:
            raise DtypeError(MIXED.format(op=op, x=x.aval, other=other.aval, here=here()))


def _over_deviation(centred: Tensor, variance: Tensor, eps: float) -> Tensor:
    return centred * expand_to(ops.rsqrt(variance + eps), centred.shape)


def _per_channel(v: Tensor, x: Tensor) -> Tensor:
    """A vector with one number per channel (axis 1), at the shape of x."""
    return expand_to(reshape_to(v, (1, v.numel(), *(1,) * (x.ndim - 2))), x.shape)


def _scaled(y: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    """y * weight + bias, with one number of each per channel."""
    if weight is not None:
        y = y * _per_channel(weight, y)
    return y if bias is None else y + _per_channel(bias, y)


def _check_channels(op: str, x: Tensor, **vectors: Tensor | None) -> None:
    for name, v in vectors.items():
        if v is not None and v.numel() != x.shape[1]:
            raise ShapeError(
                f"{op}: {name} should contain {x.shape[1]} elements not {v.numel()}: x is {x.aval},"
                f" whose axis 1 holds the channels{here()}"
            )


def _update(running: Tensor, new: Tensor, momentum: Any) -> None:
    """running = (1 - momentum) running + momentum new."""
    with no_grad():
        new = reshape_to(new.detach(), running.shape)
        running.copy_(running * (1 - momentum) + new * momentum)  # type: ignore[attr-defined]


# ---------------------------------------------------------------------- over the batch
def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias per channel; x: (N, C, ...), the rest: (C).

    In training mean and var (biased) are those of the batch, and the running ones are moved towards
    them in place: running = (1 - momentum) running + momentum new, with the unbiased variance. In
    evaluation they are the running ones. Raises ValueError in training for one value per channel.

    >>> import clearprop as cp
    >>> x = cp.tensor([[1.0], [3.0]])
    >>> cp.nn.functional.batch_norm(x, cp.tensor([2.0]), cp.tensor([1.0]), eps=0.0)
    tensor([[-1.],
            [ 1.]])
    """
    op = "batch_norm"
    _floating(op, input)
    _check_batch(op, input)
    count = math.prod(input.shape) // max(1, input.shape[1])
    if training and count == 1 and input.shape[1]:
        raise ValueError(
            "batch_norm: Expected more than 1 value per channel when training, got input size"
            f" torch.Size({list(input.shape)}): their variance would be 0; use larger batches, drop"
            f" the last one (drop_last=True), or call model.eval(){here()}"
        )
    vectors = {
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    _check_channels(op, input, **vectors)
    _same_dtype(op, input, *vectors.values())
    if not training:
        if running_mean is None or running_var is None:
            missing = "running_mean" if running_mean is None else "running_var"
            raise ShapeError(f"batch_norm: {missing} must be defined in evaluation mode{here()}")
        centred = input - _per_channel(running_mean, input)
        scale = ops.rsqrt(running_var + eps)
        return _scaled(centred * _per_channel(scale, input), weight, bias)
    if (running_mean is None) != (running_var is None):
        raise ValueError(
            "batch_norm: running_mean and running_var must either both be None or neither be"
            f" None{here()}"
        )
    dims = (0, *range(2, input.ndim))
    y, mean, variance = standardised(input, dims, eps)
    if running_mean is not None and running_var is not None and count:
        _update(running_mean, mean, momentum)
        _update(running_var, variance * (count / (count - 1)), momentum)
    return _scaled(y, weight, bias)


def _check_batch(op: str, x: Tensor) -> None:
    if x.ndim < 2:
        raise ShapeError(
            f"{op}: Expected at least 2 dimensions for input tensor but received {x.ndim}: x is"
            f" {x.aval}, wanted (N, C, ...){here()}"
        )


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: Any = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias for every channel of every example;
    x: (N, C, L...).

    With running statistics, these move towards the mean over the batch; without `use_input_stats`
    they are used instead. Raises ValueError where a channel has one element.

    >>> import clearprop as cp
    >>> cp.nn.functional.instance_norm(cp.tensor([[[1.0, 3.0]]]), eps=0.0)
    tensor([[[-1.,  1.]]])
    """
    op = "instance_norm"
    _floating(op, input)
    _check_batch(op, input)
    vectors = {
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ShapeError(
                "instance_norm: Expected running_mean and running_var to be defined when"
                f" use_input_stats is false{here()}"
            )
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = math.prod(input.shape[2:])
    if count == 1:
        raise ValueError(
            "instance_norm: Expected more than 1 spatial element when training, got input size"
            f" torch.Size({list(input.shape)}){here()}"
        )
    _check_channels(op, input, **vectors)
    _same_dtype(op, input, *vectors.values())
    y, mean, variance = standardised(input, tuple(range(2, input.ndim)), eps)
    if running_mean is not None and running_var is not None and input.numel():
        unbiased = variance * (count / (count - 1))
        _update(running_mean, ops.mean(mean, 0), momentum)
        _update(running_var, ops.mean(unbiased, 0), momentum)
    return _scaled(y, weight, bias)


# ---------------------------------------------------------------------- over the features
def _last_axes(op: str, x: Tensor, normalized_shape: Sequence[int], **scales: Any) -> Any:
    """(shape, dims) of the axes that are normalised, checked."""
    if isinstance(normalized_shape, int) or not all(isinstance(n, int) for n in normalized_shape):
        raise TypeError(
            f"{op}(): argument 'normalized_shape' (position 2) must be tuple of ints, not"
            f" {type(normalized_shape).__name__}: write {op}(x, ({normalized_shape},)){here()}"
        )
    _floating(op, x)
    shape = tuple(normalized_shape)
    if not shape:
        raise ShapeError(
            f"{op}: Expected normalized_shape to be at least 1-dimensional, i.e., containing at"
            f" least one element, but got normalized_shape = []{here()}"
        )
    for name, scale in scales.items():
        if scale is not None and scale.shape != shape:
            raise ShapeError(
                f"{op}: Expected {name} to be of same shape as normalized_shape, but got {name} of"
                f" shape {list(scale.shape)} and normalized_shape = {list(shape)}{here()}"
            )
    if x.ndim < len(shape) or x.shape[x.ndim - len(shape) :] != shape:
        inner = ", ".join(map(str, shape))
        raise ShapeError(
            f"{op}: Given normalized_shape=[{inner}], expected input with shape [*, {inner}], but"
            f" got input of size{list(x.shape)}{here()}"
        )
    return shape, tuple(range(x.ndim - len(shape), x.ndim))


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias over the last axes, whose sizes are
    normalized_shape; weight and bias have that shape.

    >>> import clearprop as cp
    >>> cp.nn.functional.layer_norm(cp.tensor([[1.0, 3.0], [4.0, 8.0]]), (2,), eps=0.0)
    tensor([[-1.,  1.],
            [-1.,  1.]])
    """
    _, dims = _last_axes("layer_norm", input, normalized_shape, weight=weight, bias=bias)
    _same_dtype("layer_norm", input, weight, bias)
    if weight is not None and bias is not None and input.numel():
        size = weight.numel()
        rows = reshape_to(ops.contiguous(input), (input.numel() // size, size))
        (y,) = LAYER_NORM(
            rows, reshape_to(weight, (size,)), reshape_to(bias, (size,)), eps=float(eps)
        )
        return reshape_to(y, input.shape)
    y, _, _ = standardised(input, dims, eps)
    if weight is not None:
        y = y * expand_to(weight, y.shape)
    return y if bias is None else y + expand_to(bias, y.shape)


def rms_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    eps: float | None = None,
) -> Tensor:
    """y = x / sqrt(mean(x^2) + eps) * weight over the last axes, whose sizes are normalized_shape;
    eps None: the smallest step of x's type.

    >>> import clearprop as cp
    >>> cp.nn.functional.rms_norm(cp.tensor([3.0, 3.0]), (2,))
    tensor([1., 1.])
    """
    _, dims = _last_axes("rms_norm", input, normalized_shape, weight=weight)
    eps = float(np.finfo(input.dtype.np).eps) if eps is None else eps
    y = _over_deviation(input, ops.mean(input * input, dims, True), eps)
    return y if weight is None else y * expand_to(weight, y.shape)


# ---------------------------------------------------------------------- over groups of channels
def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """y = (x - mean) / sqrt(var + eps) * weight + bias, mean and var over C / num_groups
    neighbouring channels of each example; x: (N, C, ...), weight and bias: (C).

    >>> import clearprop as cp
    >>> cp.nn.functional.group_norm(cp.tensor([[1.0, 3.0, 4.0, 8.0]]), 2, eps=0.0)
    tensor([[-1.,  1., -1.,  1.]])
    """
    op = "group_norm"
    _floating(op, input)
    _check_batch(op, input)
    n, channels = input.shape[:2]
    if num_groups <= 0:
        raise ShapeError(
            f"group_norm: Expected num groups to be greater than 0, got {num_groups}{here()}"
        )
    if channels % num_groups:
        raise ShapeError(
            "group_norm: Expected number of channels in input to be divisible by num_groups, but"
            f" got input of shape {list(input.shape)} and num_groups={num_groups}{here()}"
        )
    if n * channels // num_groups * math.prod(input.shape[2:]) == 1:
        raise ValueError(
            "group_norm: Expected more than 1 value per channel when training, got input size"
            f" {list(input.shape)}{here()}"
        )
    for name, v in (("weight", weight), ("bias", bias)):
        if v is not None and v.shape != (channels,):
            raise ShapeError(
                f"group_norm: Expected {name} to be a vector of size equal to the number of"
                f" channels in input, but got {name} of shape {list(v.shape)} and input of shape"
                f" {list(input.shape)}{here()}"
            )
    _same_dtype(op, input, weight, bias)
    size = math.prod(input.shape[1:]) // num_groups
    grouped, _, _ = standardised(reshape_to(input, (n, num_groups, size)), (2,), eps)
    return _scaled(reshape_to(grouped, input.shape), weight, bias)


def local_response_norm(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """y_c = x_c / (k + alpha/size * sum of x^2 over the `size` channels around c)^beta;
    x: (N, C, L...) (Krizhevsky et al. 2012).

    >>> import clearprop as cp
    >>> cp.nn.functional.local_response_norm(cp.ones(1, 1, 2), 2, alpha=2.0, beta=1.0)
    tensor([[[0.5000, 0.5000]]])
    """
    _floating("local_response_norm", input)
    if input.ndim < 3:
        raise ValueError(
            "local_response_norm: Expected 3D or higher dimensionality input (got"
            f" {input.ndim} dimensions){here()}"
        )
    if size < 1:
        raise ShapeError(
            f"local_response_norm: size should be greater than zero, but got {size}{here()}"
        )
    channels, before = input.shape[1], size // 2
    padded = list(input.shape)
    padded[1] = channels + size - 1
    starts = [0] * input.ndim
    starts[1] = before
    ones = (1,) * input.ndim
    squares = unslice(input * input, padded, starts, ones)
    total = None
    for i in range(size):
        starts[1], stops = i, list(input.shape)
        stops[1] = channels + i
        part = slice_(squares, starts, stops, ones)
        total = part if total is None else total + part
    return input / (total * (alpha / size) + k) ** beta  # type: ignore[operator]


# ---------------------------------------------------------------------- vectors of length 1
@dims_by_any_name
def normalize(
    input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None
) -> Tensor:
    """x / max(norm_p(x), eps) along dim.

    >>> import clearprop as cp
    >>> cp.nn.functional.normalize(cp.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    length = ops.clamp(ops.norm(input, p, dim, True), min=eps)
    y = input / expand_to(length, input.shape)
    return y if out is None else out.copy_(y)  # type: ignore[attr-defined,no-any-return]
