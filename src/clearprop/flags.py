"""Every switch of clearprop, declared once: the environment, `with flags(...)` and `--set` read
this table.

`CLEARPROP_STRICT=1` in the environment, `with flags(strict=1):` in code and `clearprop --set
strict=1 ...` mean the same. A package that must react when a flag changes registers a watcher; hot
loops never read a flag.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Flag:
    """One switch: its name in code, its default (which gives the type) and what it does."""

    name: str
    default: int | str
    help: str

    @property
    def variable(self) -> str:
        return f"CLEARPROP_{self.name.upper()}"

    def parse(self, text: int | str) -> int | str:
        if isinstance(self.default, str):
            return str(text)
        try:
            return int(text)
        except ValueError:
            raise ValueError(
                f"flag {self.name}: wants a whole number, got {text!r} ({self.help})"
            ) from None


TABLE = [
    Flag("strict", 0, "1: promotion between tensors, and broadcasting over ranks, raise"),
    Flag(
        "check",
        0,
        "1: compare every shape rule with what its kernel returned, verify graphs after every pass;"
        " 2: compare every kernel of compiled steps with eager mode, too",
    ),
    Flag("jit", 1, "0: clearprop.compile leaves functions as they are, so that pdb and print work"),
    Flag("cache", 1, "0: compiled code is not kept on disk"),
    Flag("cache_dir", "", "folder for compiled code; empty: the system's place for caches"),
    Flag(
        "debug",
        0,
        "1: a line per compile; 2: a line per kernel run, a summary at exit; 3: graphs after every"
        " pass that changed something, and the schedule; 4: LLVM IR; 5: the whole module, as LLVM"
        " reads it; 6: assembly. Each level shows what the lower ones do",
    ),
    Flag("dump", "", "folder for every stage of every compile, fit for a bug report"),
    Flag("profile", "", "file for the times of all kernels, as Perfetto reads it (JSON)"),
    Flag("nancheck", 0, "1: stop at the first non-finite value: op, module path, your line"),
    Flag("seed", -1, "seed of the default generator at import; -1: PyTorch's own"),
]


class Flags:
    """The current values. Read `flags.strict`; set for a block with `with flags(strict=1):`.

    >>> from clearprop.flags import flags
    >>> with flags(strict=1):
    ...     flags.strict
    1
    """

    _table: dict[str, Flag]
    _values: dict[str, int | str]
    _sources: dict[str, str]
    _watchers: list[Callable[[], None]]

    def __init__(self) -> None:
        self.__dict__["_table"] = {flag.name: flag for flag in TABLE}
        self.__dict__.update(_values={}, _sources={}, _watchers=[])
        for flag in TABLE:
            text = os.environ.get(flag.variable)
            self._values[flag.name] = flag.default if text is None else flag.parse(text)
            self._sources[flag.name] = "default" if text is None else "environment"

    def __getattr__(self, name: str) -> int | str:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(f"no flag {name!r}; known: {', '.join(self._table)}") from None

    def __setattr__(self, name: str, value: int | str) -> None:
        self.set(name, value)

    def set(self, name: str, value: int | str, source: str = "code") -> None:
        """Set one flag for the rest of the process."""
        if name not in self._table:
            raise ValueError(f"no flag {name!r}; known: {', '.join(self._table)}")
        self._values[name] = self._table[name].parse(value)
        self._sources[name] = source
        for watcher in self._watchers:
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call `watcher()` now and after every change."""
        self._watchers.append(watcher)
        watcher()

    @contextmanager
    def __call__(self, **values: int | str) -> Iterator[Flags]:
        before = {name: (self._values.get(name, 0), self._sources.get(name, "")) for name in values}
        try:
            for name, value in values.items():
                self.set(name, value)
            yield self
        finally:
            for name, (value, source) in before.items():
                if name in self._table:
                    self.set(name, value, source)

    def rows(self) -> list[tuple[str, int | str, str, str]]:
        """(environment variable, value, source, help) of every flag, for `clearprop env`."""
        return [(f.variable, self._values[f.name], self._sources[f.name], f.help) for f in TABLE]


flags = Flags()
