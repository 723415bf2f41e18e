"""Layers: Linear, Identity, Flatten, Dropout and the activations."""

from __future__ import annotations

import math
from typing import Any

from clearprop import ops
from clearprop.core import Parameter, Tensor
from clearprop.nn import functional as F
from clearprop.nn import init
from clearprop.nn.module import Module


class Linear(Module):
    """y = x W^T + b;  x: (..., in), W: (out, in), b: (out), y: (..., out). Initial W and b:
    U(-1/sqrt(in), 1/sqrt(in)).

    >>> import clearprop as cp
    >>> cp.nn.Linear(3, 2)(cp.zeros(4, 3)).shape
    (4, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(ops.empty(out_features, in_features, dtype=dtype, device=device))
        if bias:
            self.bias = Parameter(ops.empty(out_features, dtype=dtype, device=device))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features},"
            f" bias={self.bias is not None}"
        )


class Identity(Module):
    """y = x; takes and ignores any arguments."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return x


class Flatten(Module):
    """Axes start_dim to end_dim joined into one: (N, a, b) -> (N, a*b)."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return ops.flatten(x, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis dim split into the given sizes."""

    def __init__(self, dim: int, unflattened_size: tuple[int, ...]) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, x: Tensor) -> Tensor:
        return ops.unflatten(x, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Dropout(Module):
    """In training each element is 0 with probability p, else x / (1 - p); in evaluation the
    identity (Srivastava et al. 2014).
    """

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


def _plain(name: str, function: Any) -> type[Module]:
    """A layer without options around an activation."""

    def __init__(self: Any, inplace: bool = False) -> None:
        Module.__init__(self)

    return type(name, (Module,), {
        "__init__": __init__, "__doc__": function.__doc__, "__module__": __name__, "forward": lambda self, x: function(x),
    })  # fmt: skip


ReLU, ReLU6 = _plain("ReLU", F.relu), _plain("ReLU6", F.relu6)
Tanh, Sigmoid = _plain("Tanh", F.tanh), _plain("Sigmoid", F.sigmoid)
SiLU, Mish, SELU = _plain("SiLU", F.silu), _plain("Mish", F.mish), _plain("SELU", F.selu)
Softsign, LogSigmoid = _plain("Softsign", F.softsign), _plain("LogSigmoid", F.logsigmoid)


def _with_options(name: str, function: Any, **defaults: Any) -> type[Module]:
    """A layer whose options are the activation's, in order."""

    def __init__(self: Any, *args: Any, inplace: bool = False, **kwargs: Any) -> None:
        Module.__init__(self)
        unknown = set(kwargs) - set(defaults)
        if unknown or len(args) > len(defaults):
            raise TypeError(
                f"{name}: unexpected option {', '.join(sorted(unknown)) or args[len(defaults)]!r};"
                f" it has {', '.join(defaults)}"
            )
        values = defaults | dict(zip(defaults, args, strict=False)) | kwargs
        self.__dict__["_options"] = tuple(defaults)
        for key, value in values.items():
            setattr(self, key, value)

    def options(self: Any) -> dict[str, Any]:
        return {key: getattr(self, key) for key in self._options}

    return type(name, (Module,), {
        "__init__": __init__, "__doc__": function.__doc__, "__module__": __name__,
        "forward": lambda self, x: function(x, **options(self)),
        "extra_repr": lambda self: ", ".join(f"{k}={v!r}" if isinstance(v, str) else f"{k}={v}" for k, v in options(self).items()),
    })  # fmt: skip


LeakyReLU = _with_options("LeakyReLU", F.leaky_relu, negative_slope=0.01)
ELU = _with_options("ELU", F.elu, alpha=1.0)
Softplus = _with_options("Softplus", F.softplus, beta=1.0, threshold=20.0)
GELU = _with_options("GELU", F.gelu, approximate="none")
Hardtanh = _with_options("Hardtanh", F.hardtanh, min_val=-1.0, max_val=1.0)
Softmax = _with_options("Softmax", F.softmax, dim=None)
LogSoftmax = _with_options("LogSoftmax", F.log_softmax, dim=None)
