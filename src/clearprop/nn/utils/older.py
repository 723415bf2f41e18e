"""weight_norm and spectral_norm in the form that older programs and their files know: parts of the
weight are parameters of the layer itself. `parametrizations` has the newer ones.
"""

from __future__ import annotations

from typing import Any

from clearprop import ops
from clearprop.autograd import no_grad
from clearprop.core import Parameter, Tensor
from clearprop.nn.functional import normalize
from clearprop.nn.module import Module
from clearprop.nn.utils import normalized
from clearprop.nn.utils.computed import compute, rules_of, uncompute
from clearprop.nn.utils.parametrizations import rows_of, weight_of


class _Assigned:
    """What both have in common: the weight itself cannot be assigned to."""

    prefix = ""

    def __init__(self, name: str, dim: int) -> None:
        self.name, self.dim = name, dim

    def set(self, module: Module, value: Any) -> None:
        raise RuntimeError(
            f"{type(module).__name__}.{self.name} is computed from other parameters; remove"
            f" {type(self).__name__} first, or use nn.utils.parametrizations"
        )


class WeightNorm(_Assigned):
    """weight = weight_g weight_v / |weight_v|."""

    def get(self, module: Module) -> Tensor:
        """The weight."""
        g, v = (getattr(module, f"{self.name}_{part}") for part in "gv")
        return normalized.weight_from(g, v, self.dim)


class SpectralNorm(_Assigned):
    """weight = weight_orig / (weight_uᵀ weight_orig weight_v)."""

    def __init__(self, name: str, dim: int, n_power_iterations: int, eps: float) -> None:
        super().__init__(name, dim)
        self.n_power_iterations, self.eps = n_power_iterations, eps

    def get(self, module: Module) -> Tensor:
        """The weight."""
        original, u, v = self._parts(module)
        return original / normalized.largest(normalized.as_matrix(original, self.dim), u, v)

    def _parts(self, module: Module) -> list[Any]:
        return [getattr(module, f"{self.name}_{part}") for part in ("orig", "u", "v")]

    @no_grad()
    def __call__(self, module: Module, args: Any) -> None:
        """Before every forward in training: go on with the power iteration."""
        if module.training:
            original, u, v = self._parts(module)
            matrix = normalized.as_matrix(original, self.dim)
            steps, eps = self.n_power_iterations, self.eps
            normalized.power_iteration(matrix.T, v, u, steps, eps)  # here v comes first


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Let `weight` be weight_g weight_v / |weight_v|, both parameters of the module (Salimans &
    Kingma 2016). One length for every index of axis `dim`, one for all if None.

    >>> import clearprop as cp
    >>> list(cp.nn.utils.weight_norm(cp.nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    if name in rules_of(module):
        raise RuntimeError(
            f"weight_norm: Cannot register two weight_norm hooks on the same parameter {name}"
        )
    weight, dim = weight_of(module, name), -1 if dim is None else dim
    delattr(module, name)
    with no_grad():
        g = normalized.norm_except(weight.detach(), dim)
    module.register_parameter(f"{name}_g", Parameter(g))
    module.register_parameter(f"{name}_v", Parameter(weight.detach()))
    compute(module, name, WeightNorm(name, dim))
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Let `weight` be a parameter again, with the value that it has."""
    return _removed("weight_norm", WeightNorm, module, name, ("g", "v"))


def spectral_norm(
    module: Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    dim: int | None = None,
) -> Module:
    """Let `weight` be weight_orig / σ: its largest singular value is 1 (Miyato et al. 2018). Power
    iteration finds σ, `n_power_iterations` more steps before every forward in training mode.

    >>> import clearprop as cp
    >>> list(cp.nn.utils.spectral_norm(cp.nn.Linear(3, 2)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    if name in rules_of(module):
        raise RuntimeError(
            f"spectral_norm: Cannot register two spectral_norm hooks on the same parameter {name}"
        )
    if n_power_iterations <= 0:
        raise ValueError(
            "spectral_norm: Expected n_power_iterations to be positive, but got"
            f" n_power_iterations={n_power_iterations}"
        )
    weight = weight_of(module, name)
    rule = SpectralNorm(name, rows_of(module) if dim is None else dim, n_power_iterations, eps)
    sizes = normalized.as_matrix(weight.detach(), rule.dim).shape
    delattr(module, name)
    original = weight if isinstance(weight, Parameter) else Parameter(weight.detach())
    module.register_parameter(f"{name}_orig", original)
    for part, size in zip("uv", sizes, strict=True):
        start = normalize(ops.randn(size, dtype=weight.dtype), dim=0, eps=eps)
        module.register_buffer(f"{name}_{part}", start)
    compute(module, name, rule)
    module.register_forward_pre_hook(rule)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Let `weight` be a parameter again, with the value that it has."""
    return _removed("spectral_norm", SpectralNorm, module, name, ("orig", "u", "v"))


def _removed(what: str, kind: type, module: Module, name: str, parts: tuple[str, ...]) -> Module:
    rule = rules_of(module).get(name)
    if not isinstance(rule, kind):
        raise ValueError(f"{what} of '{name}' not found in {module}")
    with no_grad():
        value = getattr(module, name).detach()
    uncompute(module, name)
    for part in parts:
        delattr(module, f"{name}_{part}")
    for key, hook in list(module._pre_hooks.items()):
        if hook.call is rule:
            del module._pre_hooks[key]
    module.register_parameter(name, Parameter(value))
    return module
