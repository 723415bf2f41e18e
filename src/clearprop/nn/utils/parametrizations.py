"""Ready-made parametrizations: weight_norm, spectral_norm, orthogonal."""

from __future__ import annotations

from typing import Any

import numpy as np

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Tensor, wrap
from clearprop.nn.functional import normalize
from clearprop.nn.module import Module
from clearprop.nn.utils import normalized
from clearprop.nn.utils.parametrize import register_parametrization
from clearprop.ops.matrix_functions import householder_product
from clearprop.ops.solving import matrix_exp, solve


def weight_of(module: Module, name: str) -> Tensor:
    """The tensor of that name; ValueError if there is none."""
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(
            f"Module '{type(module).__name__}' has no parameter or buffer with name '{name}'"
        )
    return weight


def rows_of(module: Module) -> int:
    """The axis of a layer's weight that its outputs belong to."""
    return 1 if type(module).__name__.startswith("ConvTranspose") else 0


class _WeightNorm(Module):
    """g v / |v| from the originals g and v."""

    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return normalized.weight_from(g, v, self.dim)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return normalized.norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Let the weight be g v / |v|: its length g and its direction v are trained (Salimans & Kingma
    2016). One length for every index of axis `dim`, one for all if None.

    >>> import clearprop as cp
    >>> layer = cp.nn.utils.parametrizations.weight_norm(cp.nn.Linear(3, 2))
    >>> [(k, tuple(x.shape)) for k, x in layer.state_dict().items()][1:]
    [('parametrizations.weight.original0', (2, 1)), ('parametrizations.weight.original1', (2, 3))]
    """
    register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    module.register_load_state_dict_pre_hook(_FromOldKeys(name))
    return module


class _FromOldKeys:
    """A hook that renames what the older weight_norm has saved."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, module: Module, state: Any, prefix: str, *_: Any) -> None:
        old = [f"{prefix}{self.name}_{part}" for part in "gv"]
        if all(key in state for key in old):
            for i, key in enumerate(old):
                state[f"{prefix}parametrizations.{self.name}.original{i}"] = state.pop(key)


class _SpectralNorm(Module):
    """W / σ(W), the largest singular value found by power iteration, continued at every use in
    training.
    """

    def __init__(
        self, weight: Tensor, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12
    ) -> None:
        super().__init__()
        ndim = weight.ndim
        if not -ndim <= dim < ndim:
            raise IndexError(
                f"spectral_norm: Dimension out of range (expected to be in range of [-{ndim},"
                f" {ndim - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError(
                "spectral_norm: Expected n_power_iterations to be positive, but got"
                f" n_power_iterations={n_power_iterations}"
            )
        self.dim, self.eps = dim % ndim, eps
        if ndim > 1:
            self.n_power_iterations = n_power_iterations
            matrix = normalized.as_matrix(weight.detach(), self.dim)
            for key, size in zip("uv", matrix.shape, strict=True):
                start = ops.randn(size, dtype=weight.dtype)
                self.register_buffer(f"_{key}", normalize(start, dim=0, eps=eps))
            with no_grad():
                normalized.power_iteration(matrix, self._u, self._v, 15, eps)

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = normalized.as_matrix(weight, self.dim)
        if self.training:
            with no_grad():
                normalized.power_iteration(
                    matrix, self._u, self._v, self.n_power_iterations, self.eps
                )
        return weight / normalized.largest(matrix, self._u, self._v)

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Let the weight be W / σ(W): its largest singular value is 1 (Miyato et al. 2018).

    σ is found by power iteration, `n_power_iterations` more steps at every use in training mode.

    >>> import clearprop as cp
    >>> layer = cp.nn.utils.parametrizations.spectral_norm(cp.nn.Linear(4, 3)).eval()
    >>> sigma = cp.linalg.svdvals(layer.weight.detach())[0]
    >>> bool((sigma - 1).abs() < 0.05)
    True
    """
    weight = weight_of(module, name)
    rows = rows_of(module) if dim is None else dim
    return register_parametrization(
        module, name, _SpectralNorm(weight, n_power_iterations, rows, eps)
    )


MAPS = ("matrix_exp", "cayley", "householder")


class _Orthogonal(Module):
    """A matrix with orthonormal columns (or rows, if it has fewer) from one without conditions."""

    base: Any

    def __init__(self, weight: Tensor, orthogonal_map: str, *, use_trivialization: bool) -> None:
        super().__init__()
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        self.use_trivialization = use_trivialization
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, x: Tensor) -> Tensor:
        wide = x.shape[-2] < x.shape[-1]
        q = self._columns(x.mT if wide else x)  # type: ignore[attr-defined]
        if self.use_trivialization:
            q = self.base @ q
        return q.mT if wide else q  # type: ignore[attr-defined,no-any-return]

    def _columns(self, x: Any) -> Any:
        n, k = x.shape[-2:]
        if self.orthogonal_map == "householder":
            a = ops.tril(x, -1)
            q = householder_product(a, 2.0 / (1.0 + ops.sum(a * a, -2)))
            signs = ops.trunc(ops.diagonal(x.detach(), dim1=-2, dim2=-1))
            return q * ops.unsqueeze(signs, -2)
        lower = ops.tril(x)
        if n != k:
            lower = ops.cat([lower, ops.zeros(*x.shape[:-1], n - k, dtype=x.dtype)], -1)
        a = lower - lower.mT
        if self.orthogonal_map == "matrix_exp":
            q = matrix_exp(a)
        else:
            one = ops.eye(n, dtype=x.dtype)
            q = solve(one - a * 0.5, one + a * 0.5)
        return q[..., :k]

    def right_inverse(self, value: Tensor) -> Tensor:
        if value.shape != self.shape:
            raise ValueError(
                "orthogonal: Expected a matrix or batch of matrices of shape"
                f" {list(self.shape)}. Got a tensor of shape {list(value.shape)}."
            )
        given = value.detach().array("orthogonal")
        wide = given.shape[-2] < given.shape[-1]
        q = np.swapaxes(given, -1, -2) if wide else given
        if self.use_trivialization:
            self.base = wrap(_completed(q), None)
            start = np.zeros_like(given)
            i = np.arange(min(given.shape[-2:]))
            start[..., i, i] = -1.0  # the Householder map of -1 is the identity
            return wrap(start, None)
        if self.orthogonal_map != "householder":
            raise NotImplementedError(
                "orthogonal: It is not possible to assign to the matrix exponential or the Cayley"
                " parametrizations when use_trivialization=False."
            )
        raw, tau = np.linalg.qr(q, mode="raw")
        a = np.swapaxes(raw, -1, -2).copy()
        i = np.arange(a.shape[-1])
        # R is to have a positive diagonal; LAPACK's tau is exactly 0 where it did not reflect
        a[..., i, i] = np.sign(a[..., i, i]) * np.where(tau == 0, -1, 1)
        return wrap(np.ascontiguousarray(np.swapaxes(a, -1, -2) if wide else a), None)


def _completed(q: np.ndarray) -> np.ndarray:
    """A square orthogonal matrix that begins with q, made orthogonal where it is not."""
    n, k = q.shape[-2:]
    if n == k:
        gap = np.swapaxes(q, -1, -2) @ q - np.eye(n, dtype=q.dtype)
        if np.abs(gap).max(initial=0.0) <= 10 * n * np.finfo(q.dtype).eps:
            return q.copy()
    else:
        more = ops.randn(*q.shape[:-2], n, n - k, dtype=wrap(q, None).dtype).numpy()
        q = np.concatenate([q, more], -1)
    unit, r = np.linalg.qr(q)
    signs = np.sign(np.diagonal(r, axis1=-2, axis2=-1))
    return np.ascontiguousarray(unit * signs[..., None, :])


def orthogonal(
    module: Module,
    name: str = "weight",
    orthogonal_map: str | None = None,
    *,
    use_trivialization: bool = True,
) -> Module:
    """Let a matrix have orthonormal columns, or rows if it has fewer rows than columns.

    `orthogonal_map`: "matrix_exp" (of a skew matrix; the default for square ones), "cayley", or
    "householder". `use_trivialization`: times a fixed orthogonal matrix, the weight of now made
    orthogonal, so that training starts there. Errors: a tensor with less than two axes.

    >>> import clearprop as cp
    >>> layer = cp.nn.utils.parametrizations.orthogonal(cp.nn.Linear(3, 3))
    >>> q = layer.weight.detach()
    >>> cp.allclose(q.T @ q, cp.eye(3), atol=1e-5)
    True
    """
    weight = weight_of(module, name)
    if weight.ndim < 2:
        raise ValueError(
            "orthogonal: Expected a matrix or batch of matrices. Got a tensor of"
            f" {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError(
            f"orthogonal: orthogonal_map has to be one of {', '.join(MAPS)}. Got: {orthogonal_map}"
        )
    rule = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return register_parametrization(module, name, rule, unsafe=True)


__all__ = ["orthogonal", "spectral_norm", "weight_norm"]
