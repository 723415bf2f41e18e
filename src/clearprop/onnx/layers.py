"""Operators that are layers: convolution, pooling, normalisation."""

from __future__ import annotations

import math
from typing import Any

from clearprop import ops
from clearprop.nn import functional as F
from clearprop.onnx.operators import Node, guard, operator, tensor

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
LARGEST = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
MEANS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def _geometry(node: Node, x: Any, kernel: Any) -> tuple[list[int], list[int], list[int], list[int]]:
    """(stride, dilation, padding before, after) of windows."""
    d = len(kernel)
    if d not in CONVOLUTIONS or x.ndim != d + 2:
        raise node.refuse(f"{d} axes of windows over {x.aval}")
    stride, dilation = (list(node.get(k, [1] * d)) for k in ("strides", "dilations"))
    if min([*stride, *dilation, *kernel], default=1) < 1 or len(stride) != d or len(dilation) != d:
        raise node.refuse("strides, dilations and kernels must be at least 1")
    pads = list(node.get("pads", [0] * 2 * d))
    auto = node.get("auto_pad", b"NOTSET").decode()
    if auto == "VALID":
        pads = [0] * 2 * d
    if auto.startswith("SAME"):
        whole = [
            max(0, (-(-n // s) - 1) * s + (k - 1) * a + 1 - n)
            for n, s, k, a in zip(x.shape[2:], stride, kernel, dilation, strict=True)
        ]
        less = [n // 2 for n in whole]
        more = [n - m for n, m in zip(whole, less, strict=True)]
        pads = [*less, *more] if auto == "SAME_UPPER" else [*more, *less]
    if len(pads) != 2 * d or min(pads, default=0) < 0:
        raise node.refuse(f"pads {pads}")
    guard(node, [*x.shape[:2], *(n + pads[i] + pads[i + d] for i, n in enumerate(x.shape[2:]))])
    return stride, dilation, pads[:d], pads[d:]


def _around(x: Any, before: list[int], after: list[int], value: float) -> Any:
    widths = [n for pair in zip(before[::-1], after[::-1], strict=True) for n in pair]
    return F.pad(x, widths, value=value) if any(widths) else x


@operator("Conv")
def _conv(node: Node, x: Any, w: Any, b: Any = None) -> Any:
    x, w = tensor(x), tensor(w)
    stride, dilation, before, after = _geometry(node, x, w.shape[2:])
    if before != after:
        x, before = _around(x, before, after, 0.0), [0] * len(before)
    return CONVOLUTIONS[len(stride)](
        x, w, tensor(b), tuple(stride), tuple(before), tuple(dilation), node.get("group", 1)
    )


@operator("ConvTranspose")
def _conv_transpose(node: Node, x: Any, w: Any, b: Any = None) -> Any:
    x, w = tensor(x), tensor(w)
    d = w.ndim - 2
    if d not in TRANSPOSED or x.ndim != d + 2:
        raise node.refuse(f"{d} axes of windows over {x.aval}")
    stride, dilation = (list(node.get(k, [1] * d)) for k in ("strides", "dilations"))
    pads, more = list(node.get("pads", [0] * 2 * d)), list(node.get("output_padding", [0] * d))
    if min([*stride, *dilation]) < 1 or min([*pads, *more]) < 0:
        raise node.refuse("strides, dilations and pads")
    size = [
        (n - 1) * s + a * (k - 1) + 1 + m
        for n, s, a, k, m in zip(x.shape[2:], stride, dilation, w.shape[2:], more, strict=True)
    ]
    wanted, auto = node.get("output_shape"), node.get("auto_pad", b"NOTSET").decode()
    if wanted is None and auto.startswith("SAME"):
        wanted = [n * s for n, s in zip(x.shape[2:], stride, strict=True)]
    if wanted is not None:
        over = [n - m for n, m in zip(size, wanted[-d:], strict=True)]
        half = [n // 2 for n in over]
        rest = [n - m for n, m in zip(over, half, strict=True)]
        pads = [*half, *rest] if auto == "SAME_UPPER" else [*rest, *half]
        if min(over) < 0:
            raise node.refuse(f"output_shape {wanted} is larger than {size}")
    groups = node.get("group", 1)
    guard(node, [x.shape[0], w.shape[1] * groups, *size])
    y = TRANSPOSED[d](x, w, None, tuple(stride), 0, 0, groups, tuple(dilation))
    y = _around(y, [0] * d, more, 0.0)
    for i in range(d):
        y = y.narrow(2 + i, pads[i], y.shape[2 + i] - pads[i] - pads[i + d])
    return y if b is None else y + tensor(b).reshape(1, -1, *(1,) * d)


def _ceil(node: Node, x: Any, kernel: Any, geometry: Any) -> list[int]:
    """How much longer the padding at the end must be where sizes are rounded up."""
    stride, dilation, before, after = geometry
    more = []
    for i, n in enumerate(x.shape[2:]):
        free = n + before[i] + after[i] - dilation[i] * (kernel[i] - 1) - 1
        places = -(-free // stride[i]) + 1 if node.get("ceil_mode", 0) else free // stride[i] + 1
        if (places - 1) * stride[i] >= n + before[i]:
            places -= 1  # a window must begin inside
        more.append(max(0, (places - 1) * stride[i] - free))
    return more


@operator("MaxPool")
def _max_pool(node: Node, x: Any) -> Any:
    x, kernel = tensor(x), node.get("kernel_shape")
    if len(node.outputs) > 1 and node.outputs[1]:
        raise node.refuse("the output Indices is not supported")
    if not x.is_floating_point():
        raise node.refuse("elements must be floating-point numbers")
    geometry = stride, dilation, before, after = _geometry(node, x, kernel)
    more = _ceil(node, x, kernel, geometry)
    after = [a + m for a, m in zip(after, more, strict=True)]
    x = _around(x, before, after, -math.inf)
    return LARGEST[len(kernel)](x, tuple(kernel), tuple(stride), 0, tuple(dilation))


@operator("AveragePool")
def _average_pool(node: Node, x: Any) -> Any:
    x, kernel = tensor(x), node.get("kernel_shape")
    geometry = stride, dilation, before, after = _geometry(node, x, kernel)
    more, d = _ceil(node, x, kernel, geometry), len(kernel)
    inside = 1.0 if node.get("count_include_pad", 0) else 0.0
    counts = _around(ops.ones(1, 1, *x.shape[2:], dtype=x.dtype), before, after, inside)
    ends = [0] * d
    counts, x = (
        _around(counts, ends, more, 0.0),
        _around(_around(x, before, after, 0), ends, more, 0),
    )
    n, c = x.shape[:2]
    ones = ops.ones(1, 1, *kernel, dtype=x.dtype)

    def sums(y: Any) -> Any:
        return CONVOLUTIONS[d](y, ones, None, tuple(stride), 0, tuple(dilation))

    total = sums(x.reshape(n * c, 1, *x.shape[2:]))
    return (total / sums(counts)).reshape(n, c, *total.shape[2:])


def _channels(v: Any, x: Any) -> Any:
    return tensor(v).to(x.dtype).reshape(-1, *(1,) * (x.ndim - 2))


@operator("BatchNormalization")
def _batch_norm(node: Node, x: Any, scale: Any, bias: Any, mean: Any, var: Any) -> Any:
    if node.get("training_mode", 0):
        raise node.refuse("training mode: batch statistics are not part of a loaded network")
    x = tensor(x)
    scale, bias, mean, var = (_channels(v, x) for v in (scale, bias, mean, var))
    return (x - mean) / (var + node.get("epsilon", 1e-5)).sqrt() * scale + bias


@operator("InstanceNormalization")
def _instance_norm(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    x = tensor(x)
    y = _standard(x, tuple(range(2, x.ndim)), node.get("epsilon", 1e-5))
    return y * _channels(scale, x) + _channels(bias, x)


def _standard(x: Any, dims: tuple[int, ...], eps: float) -> Any:
    centred = x - x.mean(dims, keepdim=True)
    return centred * ((centred * centred).mean(dims, keepdim=True) + eps).rsqrt()


@operator("GroupNormalization")
def _group_norm(node: Node, x: Any, scale: Any, bias: Any) -> Any:
    x, groups = tensor(x), node.get("num_groups")
    y = x.reshape(x.shape[0], groups, -1)
    y = _standard(y, (2,), node.get("epsilon", 1e-5))
    if node.since < 21:  # one number per group
        y = y * tensor(scale).reshape(-1, 1) + tensor(bias).reshape(-1, 1)
        return y.reshape(x.shape)
    return y.reshape(x.shape) * _channels(scale, x) + _channels(bias, x)


@operator("LayerNormalization")
def _layer_norm(node: Node, x: Any, scale: Any, bias: Any = None) -> Any:
    x, axis = tensor(x), node.get("axis", -1)
    dims = tuple(range(axis % x.ndim, x.ndim))
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    inverse = ((centred * centred).mean(dims, keepdim=True) + node.get("epsilon", 1e-5)).rsqrt()
    y = centred * inverse * tensor(scale)
    y = y if bias is None else y + tensor(bias)
    return (y, mean, inverse) if len(node.outputs) > 1 else y


@operator("RMSNormalization")
def _rms_norm(node: Node, x: Any, scale: Any) -> Any:
    x, axis = tensor(x), node.get("axis", -1)
    dims = tuple(range(axis % x.ndim, x.ndim))
    return (
        x * ((x * x).mean(dims, keepdim=True) + node.get("epsilon", 1e-5)).rsqrt() * tensor(scale)
    )
