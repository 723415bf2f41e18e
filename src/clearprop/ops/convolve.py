"""conv1d to conv3d and their transposes as users call them: options, checks, bias."""

from __future__ import annotations

from typing import Any

from clearprop.core import Tensor, apply
from clearprop.errors import DtypeError, ShapeError, UnsupportedDtypeError
from clearprop.ops import movement
from clearprop.ops.broadcasting import expand_to, here, need_tensors, tensor_of
from clearprop.ops.convolution import CONVOLUTION, CONVOLUTION_INPUT
from clearprop.ops.sizes import listed, numbers


def _checked(op: str, d: int, x: Any, w: Any, bias: Any) -> tuple[Tensor, Tensor]:
    """x and w as tensors of one type and of d + 2 axes; x may lack the batch axis."""
    need_tensors(op, x, w, *(() if bias is None else (bias,)))
    x, w = tensor_of(x, op), tensor_of(w, op)
    if w.ndim != d + 2 or x.ndim not in (d + 1, d + 2):
        wrong, which = (x, "input") if w.ndim == d + 2 else (w, "weight")
        wanted = f"{d + 1}D (unbatched) or {d + 2}D (batched)" if wrong is x else f"{d + 2}D"
        raise ShapeError(
            f"{op}: Expected {wanted} {which} to {op}, but got {which} of size:"
            f" {list(wrong.shape)}: axes are (batch, channels, {d} of space){here()}"
        )
    if x.dtype is not w.dtype:
        raise DtypeError(
            f"{op}: expected scalar type {x.dtype} but found {w.dtype}: input is {x.aval}, weight"
            f" {w.aval}; convert one with .to(...){here()}"
        )
    if bias is not None and bias.dtype is not x.dtype:
        raise DtypeError(
            f"{op}: Input type ({x.dtype}) and bias type ({bias.dtype}) should be the same{here()}"
        )
    if x.dtype.category == 0:
        raise UnsupportedDtypeError(f'{op}: "{op}_cpu" not implemented for {x.dtype!r}{here()}')
    return x, w


def _options(op: str, d: int, groups: Any, **given: Any) -> tuple[tuple[int, ...], ...]:
    """stride, padding, dilation, ... as d numbers each, all of them possible."""
    out = []
    for name, value in given.items():
        values = numbers(op, name, value, d)
        least = 0 if "padding" in name else 1
        if min(values) < least:
            kind = "negative" if least == 0 else "non-positive"
            raise ShapeError(f"{op}: {kind} {name} is not supported, got {list(values)}{here()}")
        out.append(values)
    if isinstance(groups, bool) or not hasattr(groups, "__index__"):
        raise TypeError(f"{op}: groups must be an integer, got {groups!r}{here()}")
    if groups < 1:
        raise ShapeError(f"{op}: non-positive groups is not supported, got {groups}{here()}")
    return tuple(out)


def _fit_groups(op: str, x: Tensor, w: Tensor, bias: Any, groups: int, transposed: bool) -> None:
    """Raise where channels, groups and bias do not fit."""
    wanted = w.shape[0] if transposed else w.shape[1] * groups
    given = f"Given {'transposed=1' if transposed else f'groups={groups}'}, "
    shown = f"weight of size {list(w.shape)}"
    if w.shape[0] < groups or w.shape[0] % groups:
        what = f"at least {groups}" if w.shape[0] < groups else f"divisible by {groups}"
        raise ShapeError(
            f"{op}: Given groups={groups}, expected weight to be {what} at dimension 0, but got"
            f" {shown} instead{here()}"
        )
    if x.shape[1] != wanted:
        hint = ""
        if x.shape[-1] == wanted:
            hint = "; channels come before the axes of space: x.movedim(-1, 1)"
        raise ShapeError(
            f"{op}: {given}{shown}, expected input{list(x.shape)} to have {wanted} channels, but"
            f" got {x.shape[1]} channels instead{hint}{here()}"
        )
    out = w.shape[1] * groups if transposed else w.shape[0]
    if bias is not None and bias.shape != (out,):
        raise ShapeError(
            f"{op}: Given {'transposed=1, ' if transposed else ''}{shown}, expected bias to be"
            f" 1-dimensional with {out} elements, but got bias of size {list(bias.shape)}"
            f" instead{here()}"
        )


def _with_bias(y: Tensor, bias: Tensor | None) -> Tensor:
    if bias is None:
        return y
    column = movement.reshape_to(bias, (*bias.shape, *(1,) * (y.ndim - 2)))
    return y + expand_to(column, y.shape)


def _convolve(
    d: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    op = f"conv{d}d"
    x, w = _checked(op, d, input, weight, bias)
    named = isinstance(padding, str)
    stride, wide, dilation = _options(
        op, d, groups, stride=stride, padding=0 if named else padding, dilation=dilation
    )
    if named:
        pads = _named_padding(op, padding, w.shape[2:], stride, dilation)
    else:
        pads = tuple((p, p) for p in wide)
    if x.ndim == d + 1:
        x = movement.reshape_to(x, (1, *x.shape))
    _fit_groups(op, x, w, bias, groups, transposed=False)
    sizes = tuple(n + a + b for n, (a, b) in zip(x.shape[2:], pads, strict=True))
    reach = tuple(e * (k - 1) + 1 for e, k in zip(dilation, w.shape[2:], strict=True))
    if any(n < k for n, k in zip(sizes, reach, strict=True)) or 0 in w.shape[2:]:
        raise ShapeError(
            f"{op}: Calculated padded input size per channel: {listed(sizes)}. Kernel size:"
            f" {listed(reach)}. Kernel size can't be greater than actual input size: input is"
            f" {input.aval}, weight {w.aval}{here()}"
        )
    y = apply(CONVOLUTION, x, w, stride=stride, padding=pads, dilation=dilation, groups=int(groups))
    y = _with_bias(y, bias)
    return y if input.ndim == d + 2 else movement.reshape_to(y, y.shape[1:])


def _named_padding(op: str, name: str, kernel: Any, stride: Any, dilation: Any) -> Any:
    """'valid': none; 'same': as many places as elements, the odd zero comes last."""
    if name == "valid":
        return ((0, 0),) * len(kernel)
    if name != "same":
        raise ShapeError(f"{op}: Invalid padding string: {name!r}; 'same' or 'valid'{here()}")
    if any(s != 1 for s in stride):
        raise ShapeError(
            f"{op}: padding='same' is not supported for strided convolutions, stride is"
            f" {list(stride)}{here()}"
        )
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple((n // 2, n - n // 2) for n in total)


def _convolve_transposed(
    d: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    op = f"conv_transpose{d}d"
    x, w = _checked(op, d, input, weight, bias)
    stride, pads, more, dilation = _options(
        op, d, groups, stride=stride, padding=padding, output_padding=output_padding,
        dilation=dilation,
    )  # fmt: skip
    if any(m >= max(s, e) for m, s, e in zip(more, stride, dilation, strict=True)):
        raise ShapeError(
            f"{op}: output padding must be smaller than either stride or dilation, but got"
            f" output_padding {list(more)}, stride {list(stride)}, dilation"
            f" {list(dilation)}{here()}"
        )
    if x.ndim == d + 1:
        x = movement.reshape_to(x, (1, *x.shape))
    _fit_groups(op, x, w, bias, groups, transposed=True)
    full = [
        (n - 1) * s + e * (k - 1) + 1
        for n, s, e, k in zip(x.shape[2:], stride, dilation, w.shape[2:], strict=True)
    ]
    sizes = [n - 2 * p + m for n, p, m in zip(full, pads, more, strict=True)]
    if min(sizes) < 1 or 0 in x.shape[2:] or 0 in w.shape[2:]:
        raise ShapeError(
            f"{op}: Given input size per channel: {listed(x.shape[2:])}. Calculated output size per"
            f" channel: {listed(sizes)}. Output size is too small{here()}"
        )
    # what output_padding shows was cut off after the end; beyond that there are zeros
    cut = tuple((p, max(0, p - m)) for p, m in zip(pads, more, strict=True))
    inner = tuple(n - a - b for n, (a, b) in zip(full, cut, strict=True))
    y = apply(
        CONVOLUTION_INPUT, x, w, stride=stride, padding=cut, dilation=dilation, groups=int(groups),
        size=inner,
    )  # fmt: skip
    if inner != tuple(sizes):
        y = movement.unslice(y, (*y.shape[:2], *sizes), (0,) * y.ndim, (1,) * y.ndim)
    y = _with_bias(y, bias)
    return y if input.ndim == d + 2 else movement.reshape_to(y, y.shape[1:])


def conv1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """y[n,o,t] = b[o] + sum over c, k of w[o,c,k] x[n,c, t*stride + k*dilation - padding];  x: (N,
    C, L) or (C, L), w: (O, C/groups, K), y: (N, O, T). padding: numbers, 'same' or 'valid'.

    >>> import clearprop as cp
    >>> cp.conv1d(cp.tensor([[[1.0, 2.0, 4.0]]]), cp.tensor([[[1.0, -1.0]]]))
    tensor([[[-1., -2.]]])
    """
    return _convolve(1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """conv1d with two axes of space;  x: (N, C, H, W) or (C, H, W), w: (O, C/groups, KH, KW), y:
    (N, O, TH, TW) with T = (H + 2 padding - dilation (K - 1) - 1) // stride + 1.

    >>> import clearprop as cp
    >>> cp.conv2d(cp.ones(1, 1, 3, 3), cp.ones(1, 1, 2, 2), cp.tensor([0.5]))
    tensor([[[[4.5000, 4.5000],
              [4.5000, 4.5000]]]])
    """
    return _convolve(2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    dilation: Any = 1, groups: int = 1,
) -> Tensor:  # fmt: skip
    """conv1d with three axes of space;  x: (N, C, D, H, W) or (C, D, H, W).

    >>> import clearprop as cp
    >>> cp.conv3d(cp.ones(1, 1, 3, 3, 3), cp.ones(2, 1, 2, 2, 2), padding="same").shape
    (1, 2, 3, 3, 3)
    """
    return _convolve(3, input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """The adjoint of conv1d: x[n,c,t] w[c,o,k] is added to y[n,o, t*stride + k*dilation - padding];
    x: (N, C, T) or (C, T), w: (C, O/groups, K). output_padding makes y longer at its end.

    >>> import clearprop as cp
    >>> cp.conv_transpose1d(cp.tensor([[[1.0, 2.0]]]), cp.tensor([[[1.0, 10.0]]]))
    tensor([[[ 1., 12., 20.]]])
    """
    return _convolve_transposed(
        1, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """conv_transpose1d with two axes of space;  x: (N, C, H, W) or (C, H, W), w: (C, O/groups, KH,
    KW), sizes of y (H - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1.

    >>> import clearprop as cp
    >>> cp.conv_transpose2d(cp.ones(1, 2, 3, 3), cp.ones(2, 4, 2, 2), stride=2).shape
    (1, 4, 6, 6)
    """
    return _convolve_transposed(
        2, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


def conv_transpose3d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: Any = 1, padding: Any = 0,
    output_padding: Any = 0, groups: int = 1, dilation: Any = 1,
) -> Tensor:  # fmt: skip
    """conv_transpose1d with three axes of space;  x: (N, C, D, H, W) or (C, D, H, W).

    >>> import clearprop as cp
    >>> cp.conv_transpose3d(cp.ones(1, 2, 3, 3, 3), cp.ones(2, 1, 2, 2, 2)).shape
    (1, 1, 4, 4, 4)
    """
    return _convolve_transposed(
        3, input, weight, bias, stride, padding, output_padding, groups, dilation
    )


__all__ = [
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
]  # fmt: skip
