"""Module: parameters, buffers and modules by name, nested to any depth, with PyTorch's names, keys
and messages.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import numpy as np

from clearprop.autograd import RemovableHandle, no_grad
from clearprop.core import Parameter, Scope, Tensor, as_dtype, float16, float32, float64, local
from clearprop.errors import ClearpropError, did_you_mean
from clearprop.ops.broadcasting import cast, here

M = TypeVar("M", bound="Module")

BEFORE_INIT = (
    "cannot assign {kind} before Module.__init__() call: call super().__init__() first in"
    " {cls}.__init__"
)


class StateDictError(ClearpropError, RuntimeError):
    """A state dict that does not fit the module."""


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]


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

    def __init__(self) -> None:
        for name in (
            "_parameters",
            "_buffers",
            "_modules",
            "_forward_hooks",
            "_pre_hooks",
            "_backward_hooks",
        ):
            self.__dict__[name] = {}
        self.__dict__["_transient"] = set()
        self.__dict__["training"] = True

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    # ------------------------------------------------------------------ calling
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        c = local.c
        outer = c.scope
        c.scope = Scope(outer, self)
        try:
            for hook in list(self._pre_hooks.values()):
                new = hook(self, args)
                if new is not None:
                    args = new if isinstance(new, tuple) else (new,)
            out = self.forward(*args, **kwargs)
            for hook in list(self._forward_hooks.values()):
                new = hook(self, args, out)
                if new is not None:
                    out = new
        finally:
            c.scope = outer
        if self._backward_hooks:
            self._watch_gradient(args, out)
        return out

    def _watch_gradient(self, args: tuple[Any, ...], out: Any) -> None:
        """Run the full backward hooks when the gradients of output and inputs are known."""
        outs = [
            y
            for y in (out if isinstance(out, tuple) else (out,))
            if isinstance(y, Tensor) and y.requires_grad
        ]
        ins = [x for x in args if isinstance(x, Tensor)]
        got_out: dict[int, Tensor] = {}
        got_in: dict[int, Tensor] = {}
        wanted = [i for i, x in enumerate(ins) if x.requires_grad]

        def finish() -> None:
            for hook in list(self._backward_hooks.values()):
                hook(
                    self,
                    tuple(got_in.get(i) for i in range(len(ins))),
                    tuple(got_out.get(i) for i in range(len(outs))),
                )

        def on_out(i: int) -> Callable[[Tensor], None]:
            def note(g: Tensor) -> None:
                got_out[i] = g
                if not wanted and len(got_out) == len(outs):
                    finish()

            return note

        def on_in(i: int) -> Callable[[Tensor], None]:
            def note(g: Tensor) -> None:
                got_in[i] = g
                if len(got_in) == len(wanted):
                    finish()

            return note

        for i, y in enumerate(outs):
            y.register_hook(on_out(i))
        for i in wanted:
            ins[i].register_hook(on_in(i))

    def register_forward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; what it returns (if not None) replaces
        the output.
        """
        return RemovableHandle(self._forward_hooks, hook)

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns (if not None) replaces the
        arguments.
        """
        return RemovableHandle(self._pre_hooks, hook)

    def register_full_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` in the backward pass."""
        return RemovableHandle(self._backward_hooks, hook)

    # ------------------------------------------------------------------ attributes
    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        kind = (
            "parameters"
            if isinstance(value, Parameter)
            else "module"
            if isinstance(value, Module)
            else ""
        )
        if kind and "_modules" not in tables:
            raise AttributeError(BEFORE_INIT.format(kind=kind, cls=type(self).__name__))
        if isinstance(value, Parameter):
            self._forget(name)
            self._parameters[name] = value
        elif isinstance(value, Module):
            self._forget(name)
            self._modules[name] = value
        elif "_parameters" in tables and name in self._parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}'"
                    " (torch.nn.Parameter or None expected); wrap it: nn.Parameter(x)"
                )
            self._parameters[name] = None
        elif "_modules" in tables and name in self._modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}'"
                    " (torch.nn.Module or None expected)"
                )
            self._modules[name] = None
        elif "_buffers" in tables and name in self._buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as buffer '{name}' (torch.Tensor or"
                    " None expected)"
                )
            self._buffers[name] = value
        else:
            object.__setattr__(self, name, value)

    def _forget(self, name: str) -> None:
        for table in (self.__dict__, self._parameters, self._buffers, self._modules):
            table.pop(name, None)

    def __getattr__(self, name: str) -> Any:
        for table in ("_parameters", "_buffers", "_modules"):
            found = self.__dict__.get(table, {})
            if name in found:
                return found[name]
        known = [
            *self.__dict__.get("_modules", {}),
            *self.__dict__.get("_parameters", {}),
            *dir(type(self)),
        ]
        raise AttributeError(
            f"'{type(self).__name__}' object has no attribute '{name}'{did_you_mean(name, known)}"
        )

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *self._parameters, *self._buffers, *self._modules})

    def _check_name(self, name: str, what: str) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f'{what} name can\'t be empty or contain ".", got: {name!r}')
        if hasattr(self, name) and not any(
            name in t for t in (self._parameters, self._buffers, self._modules)
        ):
            raise KeyError(f"attribute '{name}' already exists")

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add state that is saved but not trained (running means); `persistent=False` keeps it out
        of state_dict.
        """
        self._check_name(name, "buffer")
        self._buffers[name] = tensor
        (self._transient.discard if persistent else self._transient.add)(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under a name."""
        self._check_name(name, "parameter")
        self._parameters[name] = param

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under a name."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name(name, "module")
        self._modules[name] = module

    register_module = add_module

    # ------------------------------------------------------------------ walking
    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(dotted path, module) of this module and all below it, parents first, each object once."""
        seen: set[int] = set() if memo is None else memo
        stack: list[tuple[str, Module]] = [(prefix, self)]
        while stack:
            path, module = stack.pop()
            if remove_duplicate and id(module) in seen:
                continue
            seen.add(id(module))
            yield path, module
            children = [
                (f"{path}.{n}" if path else n, m)
                for n, m in module._modules.items()
                if m is not None
            ]
            stack.extend(reversed(children))

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (m for _, m in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the direct children."""
        seen = set()
        for name, m in self._modules.items():
            if m is not None and id(m) not in seen:
                seen.add(id(m))
                yield name, m

    def children(self) -> Iterator[Module]:
        """The direct children."""
        return (m for _, m in self.named_children())

    def _named(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen = set()
        for path, module in (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        ):
            for name, x in getattr(module, table).items():
                if x is None or (remove_duplicate and id(x) in seen):
                    continue
                seen.add(id(x))
                yield (f"{path}.{name}" if path else name), x

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter), each object once."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer)."""
        return self._named("_buffers", prefix, recurse, remove_duplicate)

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

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._parameters.get(name)
        if found is None:
            raise AttributeError(f"{type(self).__name__} has no parameter `{target}`")
        return found

    # ------------------------------------------------------------------ state
    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call fn on every module below and on this one, children first."""
        for module in reversed(list(self.modules())):
            fn(module)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Training mode (dropout drops) for this module and all below; `train(False)` is `eval()`."""
        for module in self.modules():
            module.__dict__["training"] = bool(mode)
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
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            if set_to_none or p.grad is None:
                p.grad = None
            else:
                p.grad = p.grad.detach() * 0

    def to(self: M, *args: Any, dtype: Any = None, device: Any = None) -> M:
        """Floating-point parameters and buffers in another dtype, in place; the device is always
        the CPU.
        """
        for arg in args:
            if isinstance(arg, str) and arg.partition(":")[0] in ("cpu", "cuda", "mps"):
                device = arg
            else:
                dtype = arg.dtype if isinstance(arg, Tensor) else arg
        if device is not None and str(device) != "cpu":
            raise ClearpropError(
                f"to: clearprop computes on the CPU, device={device!s} is not there"
            )
        return self if dtype is None else self._cast(as_dtype(dtype))

    def _cast(self: M, d: Any) -> M:
        with no_grad():
            for x in itertools.chain(self.parameters(), self.buffers()):
                if x.is_floating_point():
                    x.data = cast(x.detach(), d)
                    if x.grad is not None:
                        x.grad = cast(x.grad.detach(), d)
        return self

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

    def state_dict(self, prefix: str = "", keep_vars: bool = False) -> OrderedDict[str, Tensor]:
        """All parameters and persistent buffers under their dotted names (sharing memory)."""
        out: OrderedDict[str, Tensor] = OrderedDict()
        for path, module in self.named_modules(remove_duplicate=False):
            at = f"{prefix}{path}." if path else prefix
            for table in (module._parameters, module._buffers):
                for name, x in table.items():
                    if x is not None and name not in module._transient:
                        out[at + name] = x if keep_vars else x.detach()
        return out

    def load_state_dict(self, state_dict: Any, strict: bool = True) -> IncompatibleKeys:
        """Copy values by name. Raises StateDictError (a RuntimeError) that lists every mismatch;
        nothing is copied then.
        """
        own = self.state_dict(keep_vars=True)
        missing = [k for k in own if k not in state_dict]
        unexpected = [k for k in state_dict if k not in own]
        problems = []
        if strict and unexpected:
            hints = [f'"{k}"{did_you_mean(k, missing)}' for k in unexpected]
            problems.append(f"Unexpected key(s) in state_dict: {', '.join(hints)}. ")
        if strict and missing:
            problems.append(
                "Missing key(s) in state_dict:"
                f" {', '.join(repr(k).replace(chr(39), chr(34)) for k in missing)}. "
            )
        fits = {}
        for k in own:
            if k in state_dict:
                value = (
                    state_dict[k].detach().array()
                    if isinstance(state_dict[k], Tensor)
                    else np.asarray(state_dict[k])
                )
                if value.shape != own[k].shape:
                    problems.append(
                        f"size mismatch for {k}: copying a param with shape"
                        f" torch.Size({list(value.shape)}) from checkpoint, the shape in current"
                        f" model is torch.Size({list(own[k].shape)})."
                    )
                fits[k] = value
        if problems:
            raise StateDictError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t"
                + "\n\t".join(problems)
                + here()
            )
        with no_grad():
            for k, value in fits.items():
                own[k].copy_(value)
        return IncompatibleKeys(missing, unexpected)

    # ------------------------------------------------------------------ looks
    def extra_repr(self) -> str:
        """What stands in brackets after the class name."""
        return ""

    def __repr__(self) -> str:
        lines: dict[int, str] = {}
        for module in reversed(list(self.modules())):  # children before parents
            inner = [
                f"({n}): " + lines.get(id(m), f"{type(m).__name__}()")
                for n, m in module._modules.items()
                if m is not None
            ]
            extra = module.extra_repr()
            if not inner:
                lines[id(module)] = f"{type(module).__name__}({extra})"
                continue
            body = "\n".join(([extra] if extra else []) + inner).replace("\n", "\n  ")
            lines[id(module)] = f"{type(module).__name__}(\n  {body}\n)"
        return lines[id(self)]

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
