"""Where an op was called: the first frame outside clearprop, and the dotted path of the module that
ran it.

Recording costs two pointers (code object, instruction offset); file, line and text are worked out
when somebody asks.
"""

from __future__ import annotations

import linecache
import sys
from types import CodeType, FrameType
from typing import Any, NamedTuple

from clearprop.core.state import Scope, local


class Location(NamedTuple):
    """A place in the user's program. Prints as `train.py:31`."""

    file: str
    line: int
    function: str

    @property
    def text(self) -> str:
        """The source line, stripped ('' where the source is not available)."""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


# The user's function that was seen last, and its globals: most ops come from where the last one
# came.
last_user_code: list[CodeType | None] = [None]
_last_globals: list[dict[str, Any]] = [{}]
_ours: set[int] = set()  # ids of the globals of clearprop's modules, found so far


def user_frame(frame: FrameType | None) -> FrameType | None:
    """The first frame from `frame` outwards that is not clearprop's own."""
    while frame is not None:
        names = frame.f_globals
        if names is _last_globals[0] or (id(names) not in _ours and not _is_ours(names)):
            _last_globals[0], last_user_code[0] = names, frame.f_code
            return frame
        frame = frame.f_back
    return None


def _is_ours(names: dict[str, Any]) -> bool:
    """Whether these are the globals of a module of clearprop."""
    name = names.get("__name__", "")
    if name != "clearprop" and not name.startswith("clearprop."):
        return False
    if getattr(sys.modules.get(name), "__dict__", None) is names:
        _ours.add(id(names))
    return True


def locate(code: CodeType | None, lasti: int) -> Location | None:
    """The location of instruction `lasti` of `code`."""
    if code is None:
        return None
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= lasti < end and number is not None:
            line = number
            break
    return Location(code.co_filename, line, code.co_qualname)


def user_location() -> Location | None:
    """Where the user's program is now."""
    frame = user_frame(sys._getframe(1))
    return None if frame is None else locate(frame.f_code, frame.f_lasti)


def module_path(scope: Scope | None, known_roots: dict[int, dict[int, str]] | None = None) -> str:
    """Dotted path of the running module as `named_modules` of the outermost one would give it,
    after its class name.

    `Net.encoder.0`. A module that its parent does not register is shown by its class in brackets.
    `known_roots` keeps the names of all modules below one, for callers that ask often.
    """
    chain = []
    while scope is not None:
        chain.append(scope.module)
        scope = scope.parent
    if not chain:
        return ""
    root = chain[-1]
    path, kept = type(root).__name__, {} if known_roots is None else known_roots
    names = kept.get(id(root))
    if names is None:
        names = kept[id(root)] = {id(m): n for n, m in _named_modules(root)}
    known = ""
    for module in reversed(chain[:-1]):
        name = names.get(id(module))
        known = f"[{type(module).__name__}]" if name is None else name
    return f"{path}.{known}" if known else path


def _named_modules(root: object) -> list[tuple[str, object]]:
    named = getattr(root, "named_modules", None)
    return list(named()) if named is not None else []


def here() -> str:
    """` (in Net.fc1, at train.py:31)`: the running module and the user's line, for the end of an
    error.
    """
    parts = []
    path = module_path(local.c.scope)
    if path:
        parts.append(f"in {path}")
    location = user_location()
    if location is not None:
        parts.append(f"at {location}")
    return f" ({', '.join(parts)})" if parts else ""
