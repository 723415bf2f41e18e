"""state_dict and load_state_dict: values by dotted name, with PyTorch's keys and messages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from clearprop.autograd import no_grad
from clearprop.core import Parameter, Tensor, wrap
from clearprop.errors import ClearpropError, did_you_mean
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


def entries(module: Module) -> Iterator[tuple[str, dict[str, Any], str, Tensor]]:
    """(dotted key, table that holds it, name there, tensor) of all that a state dict holds, in its
    order.
    """
    for path, m in module.named_modules(remove_duplicate=False):
        for table in (m._parameters, m._buffers):
            for name, x in table.items():
                if x is not None and not (table is m._buffers and name in m._transient):
                    yield (f"{path}.{name}" if path else name), table, name, x  # type: ignore[misc]


def state_dict(module: Module, destination: Any, prefix: str, keep_vars: bool) -> Any:
    out = OrderedDict() if destination is None else destination
    for key, _, _, x in entries(module):
        out[prefix + key] = x if keep_vars else x.detach()
    return out


def load_state_dict(
    module: Module, state: Mapping[str, Any], strict: bool, assign: bool
) -> IncompatibleKeys:
    """Check everything, then copy: a state dict that does not fit changes nothing."""
    if not isinstance(state, Mapping):
        raise TypeError(
            f"load_state_dict: Expected state_dict to be dict-like, got {type(state)}.{here()}"
        )
    own = list(entries(module))
    keys = {key for key, *_ in own}
    missing = [key for key, *_ in own if key not in state]
    unexpected = [key for key in state if key not in keys]
    problems = _key_problems(missing, unexpected) if strict else []
    fits = []
    for key, table, name, x in own:
        if key not in state:
            continue
        value = (
            state[key].detach().array()
            if isinstance(state[key], Tensor)
            else np.asarray(state[key])
        )
        if value.dtype.kind not in "fiub":
            problems.append(
                f'While copying the parameter named "{key}", expected a tensor of numbers but'
                f" received {type(state[key])}."
            )
        elif value.shape != x.shape:
            problems.append(
                f"size mismatch for {key}: copying a param with shape"
                f" torch.Size({list(value.shape)}) from checkpoint, the shape in current model is"
                f" torch.Size({list(x.shape)})."
            )
        else:
            fits.append((table, name, x, value))
    if problems:
        lines = "\n\t".join(problems)
        raise StateDictError(
            f"Error(s) in loading state_dict for {type(module).__name__}:\n\t{lines}{here()}"
        )
    for table, name, x, value in fits:
        _put(table, name, x, value, assign)
    return IncompatibleKeys(missing, unexpected)


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
def _put(table: dict[str, Any], name: str, x: Tensor, value: np.ndarray, assign: bool) -> None:
    if not assign:
        x.copy_(wrap(value, None))  # type: ignore[attr-defined]
    elif isinstance(x, Parameter):
        table[name] = Parameter(wrap(value, None), requires_grad=x.requires_grad)
    else:
        table[name] = wrap(value, None)
