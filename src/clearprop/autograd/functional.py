"""Jacobians, Hessians and their products of a function of tensors, with the arguments and results
of PyTorch's torch.autograd.functional. `clearprop.func` has the same as functions of functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clearprop.autograd import transforms
from clearprop.core import Tensor
from clearprop.core.tree import map_tensors, tensors_in
from clearprop.errors import AutogradError
from clearprop.ops import ones_like
from clearprop.ops.broadcasting import here

Inputs = Tensor | tuple[Tensor, ...]


def _args(inputs: Inputs, op: str) -> tuple[Tensor, ...]:
    args = inputs if isinstance(inputs, tuple) else (inputs,)
    for x in args:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"{op}: The inputs given to {op} must be either a Tensor or a tuple of Tensors but"
                f" the given inputs contain a {type(x).__name__}{here()}"
            )
    return args


def _result(tree: Any, create_graph: bool) -> Any:
    return tree if create_graph else map_tensors(lambda t: t.detach(), tree)


def _like_inputs(values: Any, inputs: Inputs) -> Any:
    return tuple(values) if isinstance(inputs, tuple) else values[0]


def _fresh(args: tuple[Tensor, ...], create_graph: bool) -> tuple[Tensor, ...]:
    return args if create_graph else tuple(x.detach() for x in args)


def _checked(func: Callable[..., Any], strict: bool, op: str) -> Callable[..., Any]:
    """func, refused if `strict` and an output does not depend on the inputs."""

    def checked(*args: Any) -> Any:
        out = func(*args)
        for i, y in enumerate(tensors_in(out)):
            if strict and y.node is None:
                raise AutogradError(
                    f"{op}: Output {i} of the user-provided function is independent of all inputs"
                    f" (or does not require gradients). This is not allowed in strict mode.{here()}"
                )
        return out

    return checked


def _direction(v: Any, like: tuple[Tensor, ...], what: str) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise AutogradError(
                f"{what}: The vector v can only be None if the {what.split()[-1]} is a single"
                f" Tensor with a single element{here()}"
            )
        return (ones_like(like[0].detach()),)
    vs = v if isinstance(v, tuple) else (v,)
    if [t.shape for t in vs] != [x.shape for x in like]:
        raise AutogradError(
            f"{what}: v has shapes {[list(t.shape) for t in vs]}, but should have"
            f" {[list(x.shape) for x in like]}: v has invalid size{here()}"
        )
    return vs


def jacobian(
    func: Callable[..., Any],
    inputs: Inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of func at inputs, (*output, *input); nested in tuples as outputs and inputs
    are. All rows are computed at once, `vectorize` or not. `strategy`: 'reverse-mode' or
    'forward-mode'.

    >>> import clearprop as cp
    >>> cp.autograd.functional.jacobian(lambda x: x**2, cp.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    if strategy not in ("reverse-mode", "forward-mode"):
        raise AutogradError(
            'jacobian: Expected strategy to be either "forward-mode" or "reverse-mode", got'
            f" {strategy!r}{here()}"
        )
    args = _fresh(_args(inputs, "jacobian"), create_graph)
    transform: Any = transforms.jacfwd if strategy == "forward-mode" else transforms.jacrev
    numbers = tuple(range(len(args))) if isinstance(inputs, tuple) else 0
    return _result(transform(_checked(func, strict, "jacobian"), numbers)(*args), create_graph)


def hessian(
    func: Callable[..., Any],
    inputs: Inputs,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The matrix of second derivatives of func, which returns one number.

    >>> import clearprop as cp
    >>> cp.autograd.functional.hessian(lambda x: (x**3).sum(), cp.tensor([1.0, 2.0]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    args = _fresh(_args(inputs, "hessian"), create_graph)
    numbers = tuple(range(len(args))) if isinstance(inputs, tuple) else 0
    gradient = transforms.grad(_checked(func, strict, "hessian"), numbers)
    forward = outer_jacobian_strategy == "forward-mode"
    outer: Any = transforms.jacfwd if forward else transforms.jacrev
    return _result(outer(gradient, numbers)(*args), create_graph)


def vjp(
    func: Callable[..., Any],
    inputs: Inputs,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), v^T J)."""
    args = _fresh(_args(inputs, "vjp"), create_graph)
    out, pull = transforms.vjp(_checked(func, strict, "vjp"), *args)
    vs = _direction(v, tuple(tensors_in(out)), "vjp: output")
    return _result((out, _like_inputs(pull(*vs), inputs)), create_graph)


def jvp(
    func: Callable[..., Any],
    inputs: Inputs,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), J v)."""
    args = _fresh(_args(inputs, "jvp"), create_graph)
    vs = _direction(v, args, "jvp: input")
    return _result(transforms.jvp(_checked(func, strict, "jvp"), args, vs), create_graph)


def hvp(
    func: Callable[..., Any],
    inputs: Inputs,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), H v) for a func that returns one number."""
    args = _fresh(_args(inputs, "hvp"), create_graph)
    vs = _direction(v, args, "hvp: input")
    products = transforms.hvp(_checked(func, strict, "hvp"), args, vs)[1]
    return _result((func(*args), _like_inputs(products, inputs)), create_graph)


def vhp(
    func: Callable[..., Any],
    inputs: Inputs,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    """(func(inputs), v^T H): the same as hvp, since a Hessian is symmetric."""
    return hvp(func, inputs, v, create_graph, strict)


__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]
