"""state_dict and load_state_dict: values by dotted name, with PyTorch's keys and messages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clearprop.autograd import no_grad
from clearprop.core import Parameter, Tensor, wrap
from clearprop.errors import ClearpropError, did_you_mean
from clearprop.nn import tree
from clearprop.nn.uninitialized import is_lazy
from clearprop.ops.broadcasting import here

if TYPE_CHECKING:
    from clearprop.nn.module import Module


class StateDictError(ClearpropError, RuntimeError):
    """A state dict that does not fit the module."""


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict(strict=False)` could not match."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return (
            f"IncompatibleKeys(missing_keys={self.missing_keys},"
            f" unexpected_keys={self.unexpected_keys})"
        )


class Entry(NamedTuple):
    """One value of a state dict: its dotted key, and where it lives in the module."""

    key: str
    table: dict[str, Any]
    name: str
    tensor: Tensor


def entries(module: Module) -> Iterator[Entry]:
    """All tensors that a state dict holds, in its order; a shared one under each of its names."""
    for path, m in tree.walk(module, "", once=False):
        yield from own_entries(m, f"{path}." if path else "")


def own_entries(m: Module, at: str) -> Iterator[Entry]:
    """Those of one module; `at` stands before their names."""
    for name, p in m._parameters.items():
        if p is not None:
            yield Entry(at + name, m._parameters, name, p)
    for name, b in m._buffers.items():
        if b is not None and name not in m._transient:
            yield Entry(at + name, m._buffers, name, b)


EXTRA = "_extra_state"


def has_extra(m: Any) -> bool:
    """Whether a module defines what else is to be saved (`Module` itself does not)."""
    return any("get_extra_state" in vars(cls) for cls in type(m).__mro__[:-2])


def with_prefix(module: Module, prefix: str) -> list[tuple[str, Module]]:
    """(prefix of its keys, module), parents first."""
    return [
        (f"{prefix}{path}." if path else prefix, m) for path, m in tree.walk(module, "", once=False)
    ]


def state_dict(module: Module, destination: Any, prefix: str, keep_vars: bool) -> Any:
    """Values by key, then the hooks, children first."""
    out = OrderedDict() if destination is None else destination
    modules = with_prefix(module, prefix)
    for at, m in modules:
        for hook in list(m._state_dict_pre_hooks.values()):
            hook(m, at, keep_vars)
        for key, _, _, x in own_entries(m, at):
            out[key] = x if keep_vars or is_lazy(x) else x.detach()
        if has_extra(m):
            out[at + EXTRA] = m.get_extra_state()
    for at, m in reversed(modules):
        for hook in list(m._state_dict_hooks.values()):
            hook(m, out, at, {})
    return out


def load_state_dict(
    module: Module, given: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Check everything, then copy: a state dict that does not fit changes nothing."""
    if not isinstance(given, Mapping):
        raise TypeError(
            f"load_state_dict: Expected state_dict to be dict-like, got {type(given)}.{here()}"
        )
    state = OrderedDict(given)
    keys = IncompatibleKeys([], [])
    problems: list[str] = []
    modules = with_prefix(module, "")
    for at, m in modules:
        for hook in list(m._load_pre_hooks.values()):
            hook(m, state, at, {}, strict, *keys, problems)
    own = list(entries(module))
    known = {e.key for e in own}
    extra = {at + EXTRA: m for at, m in modules if has_extra(m)}
    known |= extra.keys()
    keys.missing_keys.extend(e.key for e in own if e.key not in state)
    keys.missing_keys.extend(key for key in extra if key not in state)
    keys.unexpected_keys.extend(key for key in state if key not in known)
    fits = [(e, _value(e, state[e.key], problems)) for e in own if e.key in state]
    hooks = [(m, hook) for _, m in reversed(modules) for hook in m._load_post_hooks.values()]
    if problems or not hooks:
        _complain(module, keys, problems, strict)
    for entry, value in fits:
        _put(entry, value, assign)
    for key, m in extra.items():
        if key in state:
            m.set_extra_state(state[key])
    for m, hook in hooks:
        hook(m, keys)
    if hooks:
        _complain(module, keys, [], strict)
    return keys


def _value(entry: Entry, given: Any, problems: list[str]) -> np.ndarray:
    """What is to be copied, as an array; what is wrong with it goes into `problems`."""
    if not isinstance(given, Tensor | np.ndarray | np.generic):
        problems.append(
            f'While copying the parameter named "{entry.key}", expected torch.Tensor or Tensor-like'
            f" object from checkpoint but received {type(given)}"
        )
        return np.empty(0)
    if is_lazy(given):
        if not is_lazy(entry.tensor):
            problems.append(
                f'While copying the parameter named "{entry.key}", expected values but received an'
                " uninitialized parameter: the module that it was saved from has not been called"
            )
        return np.empty(0)
    value = given.detach().array() if isinstance(given, Tensor) else np.asarray(given)
    if value.dtype.kind not in "fiub":
        problems.append(
            f'While copying the parameter named "{entry.key}", expected numbers but received an'
            f" array of {value.dtype}"
        )
    elif not is_lazy(entry.tensor) and value.shape != entry.tensor.shape:
        problems.append(
            f"size mismatch for {entry.key}: copying a param with shape"
            f" torch.Size({list(value.shape)}) from checkpoint, the shape in current model is"
            f" torch.Size({list(entry.tensor.shape)})."
        )
    return value


def _complain(module: Module, keys: IncompatibleKeys, problems: list[str], strict: bool) -> None:
    lines = [*(_key_problems(*keys) if strict else ()), *problems]
    if lines:
        text = "\n\t".join(lines)
        raise StateDictError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{text}{here()}"
        )


def _key_problems(missing: list[str], unexpected: list[str]) -> list[str]:
    problems = []
    if missing:
        problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
    if unexpected:
        near = [(key, did_you_mean(key, missing).removeprefix("; ")) for key in unexpected]
        hints = "".join(f"\n\t\t{key}: {hint}" for key, hint in near if hint)
        problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. {hints}")
    return problems


def _quoted(keys: list[str]) -> str:
    return ", ".join(f'"{key}"' for key in keys)


@no_grad()
def _put(entry: Entry, value: np.ndarray, assign: bool) -> None:
    if is_lazy(entry.tensor) and value.size:
        entry.tensor.materialize(value.shape)  # type: ignore[attr-defined]
    if is_lazy(entry.tensor):
        return
    if not assign:
        entry.tensor.copy_(wrap(value, None))  # type: ignore[attr-defined]
    elif isinstance(entry.tensor, Parameter):
        new = Parameter(wrap(value, None), requires_grad=entry.tensor.requires_grad)
        entry.table[entry.name] = new
    else:
        entry.table[entry.name] = wrap(value, None)
