"""A module as a function of its parameters and buffers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from clearprop.core import Tensor, local
from clearprop.errors import did_you_mean
from clearprop.ops import stack
from clearprop.ops.broadcasting import here


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: dict[str, Tensor] | Sequence[dict[str, Tensor]],
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """module(*args, **kwargs) with the given tensors in the places of its own, by their names as in
    `named_parameters()`; the module is as before afterwards.

    `tie_weights`: a tensor given for one name of a shared parameter counts for its other names;
    `strict`: all parameters and buffers must be given. Raises KeyError for a name that the module
    does not have (RuntimeError if strict).

    >>> import clearprop as cp
    >>> layer = cp.nn.Linear(2, 1)
    >>> new = {"weight": cp.tensor([[1.0, 2.0]]), "bias": cp.tensor([0.5])}
    >>> cp.func.functional_call(layer, new, cp.tensor([[1.0, 1.0]]))
    tensor([[3.5000]])
    """
    dicts = parameter_and_buffer_dicts
    if isinstance(dicts, dict):
        given = dict(dicts)
    else:
        given = {}
        for part in dicts:
            twice = given.keys() & part.keys()
            if twice:
                raise ValueError(
                    f"functional_call: {sorted(twice)} appeared in multiple dictionaries{here()}"
                )
            given.update(part)
    places = _places(module)
    unknown = [name for name in given if name not in places]
    missing = [name for name in places if name not in given]
    if strict and (unknown or missing):
        raise RuntimeError(
            f"functional_call: Missing key(s): {missing}. Unexpected key(s): {unknown}.{here()}"
        )
    if unknown:
        raise KeyError(
            f"functional_call: the module has no parameter or buffer {unknown[0]!r}"
            f"{did_you_mean(unknown[0], places)}"
        )
    if tie_weights:
        _tie(given, places)
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    interpreter = local.c.interpreter
    if interpreter is not None:
        for part in module.modules():
            interpreter.entered(part)  # as it is now, and will be again
    before = {name: table[key] for name, (table, key) in places.items() if name in given}
    try:
        for name in before:
            table, key = places[name]
            table[key] = given[name]
        return module(*args, **(kwargs or {}))
    finally:
        for name, tensor in before.items():
            table, key = places[name]
            table[key] = tensor


def _places(module: Any) -> dict[str, tuple[dict[str, Any], str]]:
    """Where each parameter and buffer is kept: its table, and its key there."""
    out = {}
    for prefix, part in module.named_modules(remove_duplicate=False):
        for table in (part._parameters, part._buffers):
            for key, tensor in table.items():
                if tensor is not None:
                    out[f"{prefix}.{key}" if prefix else key] = (table, key)
    return out


def _tie(given: dict[str, Tensor], places: dict[str, tuple[dict[str, Any], str]]) -> None:
    names: dict[int, list[str]] = {}
    for name, (table, key) in places.items():
        names.setdefault(id(table[key]), []).append(name)
    for group in names.values():
        tensors = [given[n] for n in group if n in given]
        if not tensors:
            continue
        if any(t is not tensors[0] for t in tensors):
            raise ValueError(
                f"functional_call: {group} are one tied parameter, but different tensors are given"
                f" for them; tie_weights=False allows that{here()}"
            )
        given.update(dict.fromkeys(group, tensors[0]))


def stack_module_state(models: Iterable[Any]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The parameters and the buffers of modules of one kind, stacked along a new axis in front: for
    an ensemble run by vmap over functional_call.
    """
    models = list(models)
    if not models:
        raise RuntimeError("stack_module_state: Expected at least one model, got 0.")
    if any(type(m) is not type(models[0]) for m in models):
        raise RuntimeError("stack_module_state: Expected all models to be of the same class.")
    if len({m.training for m in models}) > 1:
        raise RuntimeError(
            "stack_module_state: Expected all models to have the same training/eval mode."
        )
    out = []
    for kind in ("named_parameters", "named_buffers"):
        tables = [dict(getattr(m, kind)()) for m in models]
        stacked = {}
        for name, first in tables[0].items():
            tensors = [t[name] for t in tables]
            if any(t.requires_grad != first.requires_grad for t in tensors):
                raise RuntimeError(
                    f"stack_module_state: Expected {name!r} to have the same requires_grad in all"
                    " models"
                )
            joined = stack([t.detach() for t in tensors])
            stacked[name] = joined.requires_grad_(first.requires_grad)
        out.append(stacked)
    return out[0], out[1]
