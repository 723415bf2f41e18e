"""Walks over a tree of modules, without recursion: children first, and the printed form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from clearprop.nn.module import Module


def children_first(root: Module, once: bool) -> Iterator[Module]:
    """Every module below root and root itself, each after its children; `once`: a shared module
    only the first time.
    """
    done: set[int] = set()
    stack = [(root, iter(list(root.children())))]
    while stack:
        module, rest = stack[-1]
        child = next(rest, None)
        if child is not None:
            if not (once and id(child) in done):
                stack.append((child, iter(list(child.children()))))
            continue
        stack.pop()
        done.add(id(module))
        yield module


def render(root: Module, plain: object) -> str:
    """The tree of modules as PyTorch prints it; a module whose class has a __repr__ other than
    `plain` prints itself.
    """
    texts: dict[int, str] = {}
    for module in children_first(root, once=True):
        if module is not root and type(module).__repr__ is not plain:
            texts[id(module)] = repr(module)
            continue
        extra = module.extra_repr()
        named = [
            (name, "None" if m is None else texts[id(m)]) for name, m in module._modules.items()
        ]
        inner = module._child_lines(named)
        if not inner and "\n" not in extra:
            texts[id(module)] = f"{module._get_name()}({extra})"
            continue
        body = "\n".join([*([extra] if extra else []), *inner])
        texts[id(module)] = f"{module._get_name()}(\n  {indented(body)}\n)"
    return texts[id(root)]


def indented(text: str) -> str:
    return text.replace("\n", "\n  ")
