"""Frames for the calls of modules, with the names that the outermost module gives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from clearprop.core import Scope
from clearprop.explanation.dag import Frame, Item


class Scopes:
    """`root`: the module whose inside is drawn (it has no frame), or None: the outermost modules
    that ran get frames, too.
    """

    def __init__(self, root: Any = None) -> None:
        self.root = root
        self._frames: dict[int, Frame] = {}
        self._kept: list[Scope] = []  # so that ids stay those of the same calls
        self._names: dict[int, dict[int, str]] = {}
        self.parameters: dict[int, str] = {}
        if root is not None:
            self.parameters = {id(p): n for n, p in root.named_parameters()}

    def frames(self, scope: Scope | None) -> tuple[Frame, ...]:
        """The frames of a call and those around it, the outermost first."""
        chain: list[Scope] = []
        while scope is not None:
            chain.append(scope)
            scope = scope.parent
        chain.reverse()
        if not chain:
            return ()
        outermost = chain[0].module
        names = self._names_below(outermost)
        if outermost is self.root:
            chain = chain[1:]
        return tuple(self._frame(s, names) for s in chain)

    def _names_below(self, module: Any) -> dict[int, str]:
        if id(module) not in self._names:
            self._names[id(module)] = {id(m): n for n, m in module.named_modules()}
            for name, p in module.named_parameters():
                self.parameters.setdefault(id(p), name)
        return self._names[id(module)]

    def _frame(self, scope: Scope, names: dict[int, str]) -> Frame:
        if id(scope) not in self._frames:
            self._kept.append(scope)
            module = scope.module
            title = type(module).__name__
            name = names.get(id(module)) or title
            self._frames[id(scope)] = Frame(name, title, module, not any(module.children()))
        return self._frames[id(scope)]

    def owner_frames(self, name: str, scope: Scope | None) -> tuple[Frame, ...]:
        """Of the frames of a call that uses the parameter `name`, those of modules that own it."""
        frames = self.frames(scope)
        owned = [f.owns(name) for f in frames]
        return frames[: owned.index(False)] if False in owned else frames


def settle_parameters(items: Sequence[Item]) -> None:
    """Put weights that several calls use into what is around them all, and shorten their names by
    those of the frames that they stand in.
    """
    weights = {item.key: item for item in items if item.kind == "parameter"}
    for item in items:
        for link in item.links:
            weight = weights.get(link.source)
            if weight is not None:
                both = zip(weight.frames, item.frames, strict=False)
                same = [a for a, b in itertools.takewhile(lambda pair: pair[0] is pair[1], both)]
                weight.frames = tuple(same)
    for weight in weights.values():
        if weight.frames:
            weight.title = weight.title.removeprefix(f"{weight.frames[-1].name}.")
