"""Module: parameters, buffers and modules by name, nested to any depth, with PyTorch's names, keys
and messages. What names mean is in `attributes`, hooks in `hooks`, walks and printing in `tree`,
saved values in `state`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from clearprop.autograd import RemovableHandle, no_grad
from clearprop.core import (
    Parameter,
    Scope,
    Tensor,
    as_dtype,
    changed,
    float16,
    float32,
    float64,
    local,
    wrap,
)
from clearprop.core.device import device as Device
from clearprop.core.device import require_cpu
from clearprop.core.events import listeners, tell
from clearprop.errors import did_you_mean
from clearprop.nn import attributes, hooks, state, tree
from clearprop.nn.state import IncompatibleKeys
from clearprop.nn.uninitialized import is_lazy
from clearprop.ops.broadcasting import cast

M = TypeVar("M", bound="Module")

KINDS_OF_DEVICE = ("cpu", "cuda", "mps", "xpu", "meta")


def _is_device(text: str) -> bool:
    return text.partition(":")[0] in KINDS_OF_DEVICE


Hook = Callable[..., Any]


class Module:
    """A block of a network: define `__init__` (call `super().__init__()`) and `forward`.

    >>> import clearprop as cp
    >>> class Net(cp.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = cp.nn.Linear(2, 1)
    ...
    ...     def forward(self, x):
    ...         return self.fc(x)
    >>> [name for name, _ in Net().named_parameters()]
    ['fc.weight', 'fc.bias']
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _transient: set[str]
    _forward_hooks: dict[int, Any]
    _pre_hooks: dict[int, Any]
    _backward_hooks: dict[int, Any]
    _backward_pre_hooks: dict[int, Any]
    _state_dict_hooks: dict[int, Any]
    _state_dict_pre_hooks: dict[int, Any]
    _load_pre_hooks: dict[int, Any]
    _load_post_hooks: dict[int, Any]
    _compiled_call: Any = None

    def __init__(self) -> None:
        attributes.set_up(self)
        if listeners:
            tell("module", self)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; `module(x)` calls it."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        c = local.c
        outer = c.scope
        if c.interpreter is not None:
            c.interpreter.entered(self)
        c.scope = Scope(outer, self)
        try:
            if (
                self._forward_hooks
                or self._pre_hooks
                or self._backward_hooks
                or self._backward_pre_hooks
                or self._compiled_call is not None
            ):
                return hooks.call_with_hooks(self, args, kwargs)
            return self.forward(*args, **kwargs)
        finally:
            c.scope = outer

    # ------------------------------------------------------------------ hooks
    def register_forward_hook(
        self,
        hook: Hook,
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; what it returns (if not None) replaces
        the output. `with_kwargs`: `hook(module, args, kwargs, output)`; `always_call`: also (with
        output None) when forward raised.
        """
        entry = hooks.ForwardHook(hook, with_kwargs, always_call)
        return hooks.add_hook(self._forward_hooks, entry, prepend)

    def register_forward_pre_hook(
        self, hook: Hook, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns (if not None) replaces the
        arguments. `with_kwargs`: `hook(module, args, kwargs)`, which returns both.
        """
        return hooks.add_hook(self._pre_hooks, hooks.ForwardHook(hook, with_kwargs), prepend)

    def register_full_backward_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` in the backward pass; what it returns (if
        not None) replaces grad_input.
        """
        return hooks.add_hook(self._backward_hooks, hook, prepend)

    def register_full_backward_pre_hook(self, hook: Hook, prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` before the module's backward; what it returns (if not
        None) replaces grad_output.
        """
        return hooks.add_hook(self._backward_pre_hooks, hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before the module's values are collected."""
        return RemovableHandle(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` when a state dict was collected;
        it may change the dict.
        """
        return RemovableHandle(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Hook) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys,
        unexpected_keys, error_msgs)` before values are matched; it may rename keys in the dict.
        """
        return RemovableHandle(self._load_pre_hooks, hook)

    def register_load_state_dict_post_hook(self, hook: Hook) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after values were copied, before a strict load
        complains about keys; it may empty the lists.
        """
        return RemovableHandle(self._load_post_hooks, hook)

    # ------------------------------------------------------------------ attributes
    def __setattr__(self, name: str, value: Any) -> None:
        attributes.assign(self, name, value)

    def __getattr__(self, name: str) -> Any:
        return attributes.find(self, name)

    def __delattr__(self, name: str) -> None:
        attributes.delete(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._parameters, *self._buffers, *self._modules})

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add state that is saved but not trained (running means); `persistent=False` keeps it out
        of state_dict.
        """
        attributes.check_new(self, name, "buffer", "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (torch Tensor"
                " or None required)"
            )
        self._buffers[name] = tensor
        (self._transient.discard if persistent else self._transient.add)(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name; None keeps the name for later."""
        attributes.check_new(self, name, "parameter", "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}'"
                " (torch.nn.Parameter or None required); wrap it: nn.Parameter(x)"
            )
        self._parameters[name] = param

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        attributes.check_new(self, name, "module", "_modules")
        self._modules[name] = module

    register_module = add_module

    # ------------------------------------------------------------------ walking
    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(dotted path, module) of this module and all below it, parents first, each object once;
        those whose ids are in `memo` left out.
        """
        known = set() if memo is None else memo
        for path, module in tree.walk(self, prefix, remove_duplicate):
            if id(module) not in known:
                yield path, module

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (m for _, m in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct children, each object once."""
        seen: set[int] = set()
        for name, m in self._modules.items():
            if m is not None and id(m) not in seen:
                seen.add(id(m))
                yield name, m

    def children(self) -> Iterator[Module]:
        """The direct children."""
        return (m for _, m in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter), each object once."""
        return tree.walk_table(self, "_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer), each object once."""
        return tree.walk_table(self, "_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """All buffers."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path."""
        module: Module = self
        for name in target.split(".") if target else []:
            found = module._modules.get(name)
            if found is None:
                raise AttributeError(
                    f"{type(module).__name__} has no attribute"
                    f" `{name}`{did_you_mean(name, module._modules)}"
                )
            module = found
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put a module at a dotted path; `strict`: where there is one already."""
        path, _, name = target.rpartition(".")
        if not target:
            raise ValueError("set_submodule: Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"set_submodule: `{type(module).__name__}` is not an nn.Module")
        parent = self.get_submodule(path)
        if strict and name not in parent._modules:
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        return self._entry(target, "_parameters", "parameter")  # type: ignore[no-any-return]

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path."""
        return self._entry(target, "_buffers", "buffer")  # type: ignore[no-any-return]

    def _entry(self, target: str, table: str, what: str) -> Any:
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        found = owner.__dict__[table].get(name)
        if found is None:
            near = did_you_mean(name, owner.__dict__[table])
            raise AttributeError(f"{type(owner).__name__} has no attribute `{name}` ({what}){near}")
        return found

    # ------------------------------------------------------------------ all at once
    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call fn on every module below and on this one, children first."""
        for module in tree.children_first(self):
            fn(module)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Training mode (dropout drops) for this module and all below; train(False) is eval()."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: training mode is expected to be boolean, got {mode!r}")
        for module in self.modules():
            module.__dict__["training"] = mode
        changed()
        if listeners:
            tell("mode", self, mode)
        return self

    def eval(self: M) -> M:
        """Evaluation mode for this module and all below."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Freeze (False) or unfreeze all parameters."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; `set_to_none=False` fills them with zeros."""
        if listeners:
            tell("zero_grad", self)
        for p in self.parameters():
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad = p.grad.detach().zero_()  # type: ignore[attr-defined]

    def to(
        self: M, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False
    ) -> M:
        """Floating-point parameters and buffers in another dtype, in place: to(dtype), to(tensor),
        to(device, dtype). The device is always the CPU, so there is nothing to wait for.
        """
        for arg in args:
            if isinstance(arg, Device) or (isinstance(arg, str) and _is_device(arg)):
                device = arg
            elif isinstance(arg, Tensor):
                dtype = arg.dtype
            elif not isinstance(arg, bool | None):
                dtype = arg
        require_cpu(device, "to")
        if dtype is None:
            return self
        if as_dtype(dtype) not in (float16, float32, float64):
            raise TypeError(
                "to: nn.Module.to only accepts floating point or complex dtypes, but got desired"
                f" dtype={dtype}"
            )
        return self._cast(as_dtype(dtype))

    def _cast(self: M, d: Any) -> M:
        for module in self.modules():
            for table in (module._parameters, module._buffers):
                lazy: list[Any] = [x for x in table.values() if is_lazy(x)]
                for x in lazy:
                    if x.is_floating_point():
                        x.become_dtype(d)
        return self._apply(lambda x: cast(x, d) if x.is_floating_point() else x)

    def _apply(self: M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> M:
        """Replace the values of all parameters, gradients and buffers by what fn makes of them."""
        with no_grad():
            for p in self.parameters(recurse):
                if is_lazy(p):
                    continue
                new = fn(p.detach())
                if new.value is not p.value:
                    p.data = new
                    if p.grad is not None:
                        p.grad = fn(p.grad.detach())
            for module in self.modules() if recurse else [self]:
                for name, b in module._buffers.items():
                    if b is not None and not is_lazy(b):  # it may be somebody else's: not in place
                        module._buffers[name] = fn(b)
        return self

    def to_empty(self: M, *, device: Any = None, recurse: bool = True) -> M:
        """Parameters and buffers of the same shapes with whatever is in memory."""
        require_cpu(device, "to_empty")
        return self._apply(lambda x: wrap(np.empty_like(x.value), None), recurse)

    def type(self: M, dst_type: Any) -> M:
        """All parameters and buffers in another dtype."""
        d = as_dtype(dst_type)
        return self._apply(lambda x: cast(x, d))

    def float(self: M) -> M:
        """All floating-point state as float32."""
        return self._cast(float32)

    def double(self: M) -> M:
        """All floating-point state as float64."""
        return self._cast(float64)

    def half(self: M) -> M:
        """All floating-point state as float16."""
        return self._cast(float16)

    def cpu(self: M) -> M:
        """This module: everything lives on the CPU."""
        return self

    def cuda(self: M, device: Any = None) -> M:
        """An error: clearprop computes on the CPU."""
        return self.to(device="cuda" if device is None else f"cuda:{device}")

    def share_memory(self: M) -> M:
        """This module: its memory is that of the process."""
        return self

    def compile(self, **options: Any) -> None:
        """Let calls of this module run as compiled code: `clearprop.compile` of the call.

        >>> import clearprop as cp
        >>> net = cp.nn.Linear(2, 1)
        >>> net.compile()
        >>> net(cp.ones(3, 2)).shape
        (3, 1)
        """
        # (jit lies below nn, but most programs do not need to load it)
        jit = importlib.import_module("clearprop.jit")
        self._compiled_call = jit.compile(hooks.Uncompiled(self), **options)

    # ------------------------------------------------------------------ state
    def get_extra_state(self) -> Any:
        """Something else to be saved, under the key `_extra_state`; define it with
        `set_extra_state`.
        """
        raise RuntimeError(
            f"{type(self).__name__}: get_extra_state is called on a module that does not define it"
        )

    def set_extra_state(self, state: Any) -> None:
        """Take over what `get_extra_state` gave."""
        raise RuntimeError(
            f"{type(self).__name__}: there is an extra state, but the module does not define"
            " set_extra_state"
        )

    def state_dict(
        self, *, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """All parameters and persistent buffers under their dotted names (sharing memory)."""
        return state.state_dict(self, destination, prefix, keep_vars)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy values by name; `assign=True` puts the tensors themselves in place. Raises
        StateDictError (a RuntimeError) that lists every mismatch; nothing is copied then.
        """
        return state.load_state_dict(self, state_dict, strict, assign)

    def __getstate__(self) -> dict[str, Any]:
        fields = dict(self.__dict__)
        fields.pop("_compiled_call", None)  # code belongs to this process
        return fields

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # ------------------------------------------------------------------ looks
    def extra_repr(self) -> str:
        """What stands in brackets after the class name."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def _child_lines(self, children: list[tuple[str, str]]) -> list[str]:
        return [f"({name}): {text}" for name, text in children]

    def __repr__(self) -> str:
        return tree.render(self, Module.__repr__)
