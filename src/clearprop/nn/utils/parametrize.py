"""Parametrizations: a parameter of a module as a function of others.

`module.weight` becomes f_n(...f_1(original)), computed whenever it is asked for;
`module.parametrizations.weight` holds the functions, which are modules, and the original.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from clearprop.autograd import no_grad
from clearprop.core import Parameter, Tensor
from clearprop.core.state import changed
from clearprop.nn.containers import ModuleDict, ModuleList
from clearprop.nn.module import Module
from clearprop.nn.utils.computed import base_of, compute, uncompute

_depth = 0  # of `cached` blocks
_cache: dict[tuple[int, str], Any] = {}


@contextmanager
def cached() -> Iterator[None]:
    """Compute every parametrized tensor once inside this block.

    >>> import clearprop as cp
    >>> from clearprop.nn.utils import parametrize
    >>> with parametrize.cached():
    ...     pass
    """
    global _depth
    _depth += 1
    changed()
    try:
        yield
    finally:
        _depth -= 1
        if not _depth:
            _cache.clear()
        changed()


class ParametrizationList(ModuleList):
    """The functions of one tensor in their order, and its original(s); calling it computes the
    tensor.
    """

    def __init__(
        self, modules: Sequence[Module], original: Tensor | Parameter, unsafe: bool = False
    ) -> None:
        if not modules:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        before = original.detach()
        new: Any = original
        with no_grad():
            for module in reversed(list(modules)):
                new = inverse(module, new)
        if not isinstance(new, Tensor | list | tuple):
            raise ValueError(
                "parametrize: 'right_inverse' must return a Tensor or a Sequence of tensors (list,"
                f" tuple...). Got {type(new).__name__}"
            )
        self.is_tensor = isinstance(new, Tensor)
        self.ntensors = 1 if isinstance(new, Tensor) else len(new)
        if isinstance(new, Tensor):
            if new.dtype is not original.dtype:
                raise ValueError(
                    "parametrize: When `right_inverse` outputs one tensor, it may not change the"
                    f" dtype: original is {original.dtype}, right_inverse(original) {new.dtype}"
                )
            original.data = new.detach()
            _register(self, "original", original)
        else:
            for i, part in enumerate(new):
                if not isinstance(part, Tensor):
                    raise ValueError(
                        "parametrize: 'right_inverse' must return a Tensor or a Sequence of"
                        f" tensors. Got element {i} of the sequence with type"
                        f" {type(part).__name__}"
                    )
                if isinstance(original, Parameter):
                    part = Parameter(part.detach(), original.requires_grad)
                _register(self, f"original{i}", part)
        if not unsafe:
            self._check(self.compute(), before)

    def _check(self, made: Any, original: Tensor) -> None:
        if not isinstance(made, Tensor):
            raise ValueError(
                f"parametrize: A parametrization must return a tensor. Got {type(made).__name__}"
            )
        if made.dtype is not original.dtype:
            raise ValueError(
                "parametrize: Registering a parametrization may not change the dtype of the tensor,"
                f" unless `unsafe` flag is enabled: {original.dtype} became {made.dtype}"
            )
        if made.shape != original.shape:
            raise ValueError(
                "parametrize: Registering a parametrization may not change the shape of the tensor,"
                f" unless `unsafe` flag is enabled: {list(original.shape)} became"
                f" {list(made.shape)}"
            )

    def originals(self) -> list[Any]:
        """The tensors that the first function is given."""
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def right_inverse(self, value: Tensor) -> None:
        """Set the originals so that the tensor becomes `value`, as `module.name = value` does."""
        new: Any = value
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise RuntimeError(
                        f"parametrization {type(module).__name__} does not implement"
                        " right_inverse, so the tensor cannot be assigned to"
                    )
                new = module.right_inverse(new)
            parts = [new] if self.is_tensor else list(new)
            if len(parts) != self.ntensors:
                raise ValueError(
                    "parametrize: 'right_inverse' must return a sequence of tensors of length"
                    f" {self.ntensors}. Got a sequence of length {len(parts)}"
                )
            for own, part in zip(self.originals(), parts, strict=True):
                own.copy_(part)

    def compute(self) -> Any:
        """The tensor, from its originals."""
        first, *rest = list(self)
        x = first(*self.originals())
        for module in rest:
            x = module(x)
        return x

    def forward(self) -> Any:
        return self.compute()


def inverse(module: Any, x: Any) -> Any:
    """module.right_inverse(x), x itself if there is none."""
    if not hasattr(module, "right_inverse"):
        return x
    try:
        return module.right_inverse(x)
    except NotImplementedError:
        return x


def _register(module: Module, name: str, x: Tensor) -> None:
    if isinstance(x, Parameter):
        module.register_parameter(name, x)
    else:
        module.register_buffer(name, x)


class _Parametrized:
    """The rule of a parametrized tensor."""

    prefix = "Parametrized"

    def __init__(self, name: str) -> None:
        self.name = name

    def get(self, module: Any) -> Any:
        parts = module.parametrizations[self.name]
        if not _depth:
            return parts()
        key = (id(module), self.name)
        if key not in _cache:
            _cache[key] = parts()
        return _cache[key]

    def set(self, module: Any, value: Any) -> None:
        module.parametrizations[self.name].right_inverse(value)


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Let `module.tensor_name`, a parameter or buffer, be computed by `parametrization`.

    Its `forward` computes the tensor from the original, its `right_inverse` (if it has one) finds
    the original, or several, for a tensor that is given: for the value of now, and for
    `module.tensor_name = value`. Registered again, functions are chained. Errors: a name that is
    no parameter or buffer; another shape or dtype, unless `unsafe`.

    >>> import clearprop as cp
    >>> from clearprop.nn.utils import parametrize
    >>> class Symmetric(cp.nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = parametrize.register_parametrization(cp.nn.Linear(3, 3), "weight", Symmetric())
    >>> cp.allclose(layer.weight, layer.weight.T)
    True
    >>> list(layer.state_dict())
    ['bias', 'parametrizations.weight.original']
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        _append(module, tensor_name, parametrization, unsafe)
        return module
    original = module._parameters.get(tensor_name)
    if original is None:
        original = module._buffers.get(tensor_name)  # type: ignore[assignment]
    if original is None:
        raise ValueError(
            f"Module '{type(module).__name__}' does not have a parameter, a buffer, or a"
            f" parametrized element with name '{tensor_name}'"
        )
    parts = ParametrizationList([parametrization], original, unsafe)
    delattr(module, tensor_name)
    if not is_parametrized(module):
        module.add_module("parametrizations", ModuleDict())
    module.parametrizations[tensor_name] = parts
    compute(module, tensor_name, _Parametrized(tensor_name))
    return module


def _append(module: Any, name: str, parametrization: Any, unsafe: bool) -> None:
    """One more function after those that are there."""
    parts = module.parametrizations[name]
    before = getattr(module, name)
    if not unsafe:
        with no_grad():
            after = parametrization(before)
            parts._check(after, before)
            given = inverse(parametrization, after)
        if not isinstance(given, Tensor):
            raise ValueError(
                "parametrize: parametrization.right_inverse must return a tensor when it is not the"
                f" first of several. Got: {type(given).__name__}"
            )
    parts.append(parametrization)
    parts.unsafe |= unsafe


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module, or one tensor of it, is parametrized."""
    found = module._modules.get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(
    module: Module, tensor_name: str, leave_parametrized: bool = True
) -> Module:
    """Take all functions of a tensor away: it stays what they made of it, or, with
    `leave_parametrized=False`, becomes the original again.

    >>> import clearprop as cp
    >>> from clearprop.nn.utils import parametrizations, parametrize
    >>> layer = parametrizations.weight_norm(cp.nn.Linear(2, 2))
    >>> _ = parametrize.remove_parametrizations(layer, "weight")
    >>> sorted(layer.state_dict())
    ['bias', 'weight']
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(
            f"Module {type(module).__name__} does not have a parametrization on {tensor_name}"
        )
    all_parts = module.parametrizations
    parts = all_parts[tensor_name]
    if not parts.is_tensor and not leave_parametrized:
        raise ValueError(
            "parametrize: Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is"
            " parametrized in terms of a sequence of tensors."
        )
    left: Any = parts.originals()[0]
    if leave_parametrized:
        with no_grad():
            value = parts().clone()
        if parts.is_tensor:
            left.data = value
        else:
            wants = any(x.requires_grad for x in parts.originals())
            left = Parameter(value) if wants else value
    uncompute(module, tensor_name)
    del all_parts[tensor_name]
    _register(module, tensor_name, left)
    if not is_parametrized(module):
        del module.parametrizations
    return module


def type_before_parametrizations(module: Module) -> type:
    """The class of a module before it was parametrized."""
    return base_of(module)


def transfer_parametrizations_and_params(
    from_module: Module, to_module: Module, tensor_name: str | None = None
) -> Module:
    """Let `to_module` have the parametrizations of `from_module` (of one tensor of it), and the
    values of its originals.
    """
    if not is_parametrized(from_module):
        return to_module
    names = list(from_module.parametrizations) if tensor_name is None else [tensor_name]
    for name in names:
        parts = from_module.parametrizations[name]
        if name not in to_module._parameters and name not in to_module._buffers:
            with no_grad():
                value = getattr(from_module, name).clone()
            kind = isinstance(parts.originals()[0], Parameter)
            _register(to_module, name, Parameter(value) if kind else value)
        for function in parts:
            register_parametrization(to_module, name, function, unsafe=parts.unsafe)
        with no_grad():
            new = to_module.parametrizations[name].originals()
            for mine, theirs in zip(new, parts.originals(), strict=True):
                mine.copy_(theirs)
    return to_module


__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]
