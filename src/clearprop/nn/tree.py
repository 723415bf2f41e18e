"""Walks over a tree of modules, without recursion, and its printed form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clearprop.nn.module import Module


def walk(root: Module, prefix: str, once: bool) -> Iterator[tuple[str, Module]]:
    """(dotted path, module), parents first; `once`: a shared module only at its first place."""
    seen: set[int] = set()
    stack = [(prefix, root)]
    while stack:
        path, module = stack.pop()
        if once and id(module) in seen:
            continue
        seen.add(id(module))
        yield path, module
        stack.extend(
            (join(path, name), child)
            for name, child in reversed(module._modules.items())
            if child is not None
        )


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def walk_table(
    root: Module, table: str, prefix: str, recurse: bool, once: bool
) -> Iterator[tuple[str, Any]]:
    """(dotted name, entry) of one table (`_parameters`, `_buffers`) of every module."""
    seen: set[int] = set()
    for path, module in walk(root, prefix, once) if recurse else [(prefix, root)]:
        for name, x in module.__dict__[table].items():
            if x is None or (once and id(x) in seen):
                continue
            seen.add(id(x))
            yield join(path, name), x


def children_first(root: Module) -> Iterator[Module]:
    """Every module below root and root itself once, each after its children."""
    done: set[int] = set()
    stack = [(root, iter(list(root.children())))]
    while stack:
        module, rest = stack[-1]
        child = next(rest, None)
        if child is None:
            stack.pop()
            done.add(id(module))
            yield module
        elif id(child) not in done:
            stack.append((child, iter(list(child.children()))))


def render(root: Module, plain: object) -> str:
    """The tree as PyTorch prints it; below root, a module whose class has another __repr__ than
    `plain` prints itself.
    """
    texts: dict[int, str] = {}
    for module in children_first(root):
        if module is not root and type(module).__repr__ is not plain:
            texts[id(module)] = repr(module)
            continue
        inner = [
            (name, "None" if m is None else texts[id(m)]) for name, m in module._modules.items()
        ]
        texts[id(module)] = bracketed(
            module._get_name(), module.extra_repr(), module._child_lines(inner)
        )
    return texts[id(root)]


def bracketed(name: str, extra: str, lines: list[str]) -> str:
    """`Name(extra)` on one line, or extra and lines indented below it."""
    if not lines and "\n" not in extra:
        return f"{name}({extra})"
    body = "\n".join([*([extra] if extra else []), *lines]).replace("\n", "\n  ")
    return f"{name}(\n  {body}\n)"


def numbered_lines(children: list[tuple[str, str]]) -> list[str]:
    """`(0-2): 3 x Linear(...)`: equal neighbours on one line, as PyTorch prints a ModuleList."""
    runs: list[list[Any]] = []
    for name, text in children:
        if runs and runs[-1][2] == text:
            runs[-1][1] = name
            runs[-1][3] += 1
        else:
            runs.append([name, name, text, 1])
    return [
        f"({first}): {text}" if n == 1 else f"({first}-{last}): {n} x {text}"
        for first, last, text, n in runs
    ]
