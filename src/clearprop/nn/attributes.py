"""What `self.name = value` means in a module: parameters, buffers and child modules go into tables
of their own, everything else into the instance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clearprop.core import Parameter, Tensor, Watched, changed
from clearprop.errors import did_you_mean
from clearprop.nn.buffer import Buffer

if TYPE_CHECKING:
    from clearprop.nn.module import Module

STATE = ("_parameters", "_buffers", "_modules")
HOOKS = (
    "_forward_hooks",
    "_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_pre_hooks",
    "_load_post_hooks",
)
BEFORE_INIT = (
    "cannot assign {kind} before Module.__init__() call: call super().__init__() first in"
    " {cls}.__init__"
)


def set_up(module: Module) -> None:
    """The empty tables of a new module."""
    fields = module.__dict__
    for name in (*STATE, *HOOKS):
        fields[name] = Watched()
    fields["_transient"] = set()
    fields["training"] = True


def assign(module: Module, name: str, value: Any) -> None:
    """Put value where it belongs; a name keeps its place in the order of its table."""
    changed()
    fields = module.__dict__
    if isinstance(value, Parameter):
        _move(module, name, "parameters", "_parameters", value)
    elif isinstance(value, Buffer):
        if "_buffers" not in fields:
            raise AttributeError(BEFORE_INIT.format(kind="buffers", cls=type(module).__name__))
        _move(module, name, "buffers", "_buffers", value)
        (module._transient.discard if value.persistent else module._transient.add)(name)
        value.__class__ = Tensor  # type: ignore[assignment]  # it waited for a module; now it is a tensor like any other
    elif name in fields.get("_parameters", ()):
        _none_only(value, name, "parameter", "torch.nn.Parameter or None", "nn.Parameter(x)")
        fields["_parameters"][name] = None
    elif is_module(value):
        _move(module, name, "module", "_modules", value)
    elif name in fields.get("_modules", ()):
        _none_only(value, name, "child module", "torch.nn.Module or None", "del self." + name)
        fields["_modules"][name] = None
    elif name in fields.get("_buffers", ()):
        if value is not None and not isinstance(value, Tensor):
            raise TypeError(
                f"cannot assign '{type(value).__name__}' as buffer '{name}' (torch.Tensor or"
                " None expected); make a tensor of it: cp.tensor(x)"
            )
        fields["_buffers"][name] = value
    else:
        object.__setattr__(module, name, value)


def is_module(value: Any) -> bool:
    """Whether value is a Module (whose class is defined above this file)."""
    return hasattr(type(value), "named_modules")


def _move(module: Module, name: str, kind: str, table: str, value: Any) -> None:
    fields = module.__dict__
    if table not in fields:
        raise AttributeError(BEFORE_INIT.format(kind=kind, cls=type(module).__name__))
    for other in (fields, *(fields[t] for t in STATE if t != table)):
        other.pop(name, None)
    fields[table][name] = value


def _none_only(value: Any, name: str, what: str, wanted: str, advice: str) -> None:
    if value is not None:
        raise TypeError(
            f"cannot assign '{type(value).__name__}' as {what} '{name}' ({wanted} expected); use"
            f" {advice}"
        )


def find(module: Module, name: str) -> Any:
    """The parameter, buffer or child of that name; else an error that guesses what was meant."""
    fields = module.__dict__
    for table in STATE:
        if name in fields.get(table, ()):
            return fields[table][name]
    cls = type(module)
    if name in (*STATE, *HOOKS, "_transient", "training"):
        raise AttributeError(
            f"'{cls.__name__}' object has no attribute '{name}': call super().__init__() first in"
            f" {cls.__name__}.__init__"
        )
    known = [n for t in STATE for n in fields.get(t, ())] + [*fields, *dir(cls)]
    raise AttributeError(
        f"'{cls.__name__}' object has no attribute '{name}'{did_you_mean(name, known)}"
    )


def delete(module: Module, name: str) -> None:
    """Take an attribute away."""
    changed()
    for table in STATE:
        if name in module.__dict__[table]:
            del module.__dict__[table][name]
            module._transient.discard(name)
            return
    object.__delattr__(module, name)


def check_new(module: Module, name: str, what: str, table: str) -> None:
    """Refuse a name that cannot be part of a dotted path, or that means something else already."""
    if table not in module.__dict__:
        raise AttributeError(BEFORE_INIT.format(kind=what, cls=type(module).__name__))
    if not isinstance(name, str):
        raise TypeError(f"{what} name should be a string. Got {type(name).__name__}")
    if not name:
        raise KeyError(f'{what} name can\'t be empty string ""')
    if "." in name:
        raise KeyError(f'{what} name can\'t contain "."; got {name!r}')
    if name not in module.__dict__[table] and hasattr(module, name):
        raise KeyError(f"attribute '{name}' already exists")
