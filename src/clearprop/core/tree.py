"""Nested tuples, lists and dicts with Tensors in them: taken apart into a flat list, and put
together again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from clearprop.core.tensor import Tensor


def tensors_in(tree: Any) -> list[Tensor]:
    """The Tensors of the tree, from left to right; dicts in their own order."""
    return list(_walk(tree))


def _walk(tree: Any) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from _walk(part)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from _walk(part)


def others_in(tree: Any) -> list[Any]:
    """The leaves of the tree that are no Tensors."""
    others: list[Any] = []
    map_tensors(lambda _: None, tree, others.append)
    return others


def map_tensors(
    function: Callable[[Tensor], Any], tree: Any, other: Callable[[Any], Any] | None = None
) -> Any:
    """The tree with every Tensor t replaced by function(t); other leaves stay, or go through
    `other`.
    """
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, tuple | list):
        parts = [map_tensors(function, part, other) for part in tree]
        named = hasattr(tree, "_fields")  # a NamedTuple takes its parts one by one
        return type(tree)(*parts) if named else type(tree)(parts)
    if isinstance(tree, dict):
        return {k: map_tensors(function, part, other) for k, part in tree.items()}
    return tree if other is None else other(tree)


def structure(tree: Any) -> Any:
    """What a tree is apart from its Tensors, fit to be compared and hashed: Tensors become their
    aval, containers their type and parts, other leaves stay as they are.
    """
    if isinstance(tree, Tensor):
        return (Tensor, tree.aval, tree.requires_grad)
    if isinstance(tree, tuple | list):
        return (type(tree), *map(structure, tree))
    if isinstance(tree, dict):
        return (dict, *((k, structure(part)) for k, part in tree.items()))
    return (type(tree), tree)
