"""All parameters as one vector, and back."""

from __future__ import annotations

from collections.abc import Iterable

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor
from clearprop.errors import ShapeError
from clearprop.ops.broadcasting import here, need_tensors


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all tensors, one after the other; gradients flow through.

    >>> import clearprop as cp
    >>> cp.nn.utils.parameters_to_vector([cp.tensor([[1.0, 2.0]]), cp.tensor([3.0])])
    tensor([1., 2., 3.])
    """
    return ops.cat([ops.reshape(p, (-1,)) for p in parameters])


@no_grad()
def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Write the elements of a vector into the tensors, in their order.

    Errors: a vector that is too short, or too long (PyTorch ignores what is left).

    >>> import clearprop as cp
    >>> w = cp.zeros(2, 1, requires_grad=True)
    >>> cp.nn.utils.vector_to_parameters(cp.tensor([1.0, 2.0]), [w])
    >>> w.tolist()
    [[1.0], [2.0]]
    """
    need_tensors("vector_to_parameters", vec)
    tensors = list(parameters)
    wanted = sum(p.numel() for p in tensors)
    if vec.ndim != 1 or vec.numel() != wanted:
        raise ShapeError(
            f"vector_to_parameters: the parameters have {wanted} elements, the vector is"
            f" {vec.aval}{here()}"
        )
    at = 0
    for p in tensors:
        p.copy_(ops.reshape(ops.narrow(vec, 0, at, p.numel()), p.shape))  # type: ignore[attr-defined]
        at += p.numel()
