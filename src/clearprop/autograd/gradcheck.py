"""Gradients against central finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clearprop.autograd.reverse import grad
from clearprop.core import Tensor
from clearprop.errors import AutogradError
from clearprop.ops import from_numpy


class GradcheckError(AutogradError):
    """The analytical gradient and the finite differences differ."""


def _outputs(f: Callable[..., Any], inputs: Sequence[Any]) -> list[Tensor]:
    out = f(*inputs)
    return [y for y in (out if isinstance(out, tuple | list) else (out,)) if isinstance(y, Tensor)]


def numerical_jacobian(
    f: Callable[..., Any], inputs: Sequence[Any], i: int, eps: float
) -> list[np.ndarray]:
    """d output / d inputs[i] by central differences, one (output size, input size) matrix per
    output.
    """
    x = inputs[i].detach().numpy()
    columns: list[list[np.ndarray]] = []
    for k in range(x.size):
        place = np.unravel_index(k, x.shape)
        old = x[place].copy()
        ends = []
        for step in (eps, -eps):
            x[place] = old + step
            ends.append(
                [
                    y.detach().numpy().astype(np.float64).reshape(-1).copy()
                    for y in _outputs(f, inputs)
                ]
            )
        x[place] = old
        columns.append([(a - b) / (2 * eps) for a, b in zip(*ends, strict=True)])
    count = len(columns[0]) if columns else 0
    return [np.stack([c[j] for c in columns], 1) for j in range(count)]


def gradcheck(
    func: Callable[..., Any],
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
) -> bool:
    """Compare the gradients of `func(*inputs)` with central differences, for every float64 input
    that requires grad.

    Raises GradcheckError (a RuntimeError) that names output, input and element;
    `raise_exception=False` returns False instead.

    >>> import clearprop as cp
    >>> x = cp.tensor([0.3, 0.7], dtype=cp.float64, requires_grad=True)
    >>> cp.autograd.gradcheck(cp.tanh, (x,))
    True
    """
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    wanted = [i for i, x in enumerate(xs) if isinstance(x, Tensor) and x.requires_grad]
    if not wanted:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of the them"
            " have requires_grad=True."
        )
    for i in wanted:
        if xs[i].dtype.name != "float64":
            raise ValueError(
                f"gradcheck: input {i} is {xs[i].aval}; finite differences need float64:"
                " x.double().requires_grad_()"
            )
    try:
        for i in wanted:
            _compare(func, xs, i, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _compare(
    f: Callable[..., Any], xs: list[Any], i: int, eps: float, atol: float, rtol: float
) -> None:
    numerical = numerical_jacobian(f, xs, i, eps)
    for j, (y, expected) in enumerate(zip(_outputs(f, xs), numerical, strict=False)):
        for k in range(y.numel()):
            if y.requires_grad:
                seed = np.zeros(y.shape)
                seed[np.unravel_index(k, y.shape)] = 1.0
                (g,) = grad(y, xs[i], from_numpy(seed), retain_graph=True, materialize_grads=True)
                row = g.detach().numpy().reshape(-1)
            else:
                row = np.zeros(expected.shape[1])
            bad = ~np.isclose(row, expected[k], rtol, atol, equal_nan=True)
            if bad.any():
                e = int(np.argmax(bad))
                raise GradcheckError(
                    f"gradcheck: Jacobian mismatch for output {j} with respect to input {i}: d"
                    f" output[{k}] / d input[{e}] is {row[e]:.8g} by backward and"
                    f" {expected[k][e]:.8g} by central differences (eps {eps:g}); {int(bad.sum())}"
                    f" of {bad.size} elements of this row differ"
                )


def gradgradcheck(
    func: Callable[..., Any], inputs: Any, grad_outputs: Any = None, **options: Any
) -> bool:
    """gradcheck of the gradient itself: second derivatives against central differences of the
    first.
    """
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    ys = _outputs(func, xs)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        seeds = [from_numpy(rng.standard_normal(y.shape)).requires_grad_() for y in ys]
    else:
        seeds = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
    n = len(xs)
    wanted = [i for i, x in enumerate(xs) if isinstance(x, Tensor) and x.requires_grad]

    def first(*args: Any) -> tuple[Tensor, ...]:
        outs = _outputs(func, args[:n])
        pairs = [(y, g) for y, g in zip(outs, args[n:], strict=True) if y.requires_grad]
        return grad(
            [y for y, _ in pairs],
            [args[i] for i in wanted],
            [g for _, g in pairs],
            create_graph=True,
            materialize_grads=True,
        )

    return gradcheck(first, [*xs, *seeds], **options)
