"""Where CPython and NumPy keep what machine code looks at: compared with what Python says before it
is used.
"""

from __future__ import annotations

import ctypes
import sys
import weakref
from functools import cache
from typing import Any

import numpy as np

from clearprop.core import Tensor, wrap
from clearprop.core.state import local
from clearprop.jit.callable import fits

# Where things lie, in bytes. Object header: count of references 0, type 8.
DATA, AXES, DIMENSIONS, BASE, DESCRIPTOR, ARRAY_FLAGS = 16, 24, 32, 48, 56, 64  # of an ndarray
ARRAY_WEAKREFS = 72
LIST_ITEMS, TUPLE_ITEMS, CELL_CONTENT = 24, 24, 16
INT_KIND, INT_DIGIT, DIGIT_BITS = 16, 24, 30  # of an int
NEW_ARRAY = 0x1 | 0x2 | 0x4 | 0x100 | 0x400  # an ndarray's flags that owns its memory, of any axes
PACKED = 0x1 | 0x100  # an ndarray's flags: row-major, aligned


@cache
def offsets() -> dict[str, int] | None:
    """Where the slots of Tensors and of the context lie; None where objects are laid out in a way
    that this file does not know.
    """
    if not fits():
        return None
    found: dict[str, int] = {}
    x = wrap(np.zeros((2, 3)), None)
    marks = {name: object() for name in ("node", "cell", "view_of", "_grad")}
    for name, mark in marks.items():
        setattr(x, name, mark)
    words = _words(x, Tensor.__basicsize__)
    names = {"node": "at_node", "cell": "at_cell", "view_of": "at_view", "_grad": "at_grad"}
    for name, mark in [*marks.items(), ("value", x.value)]:
        places = [8 * i for i, word in enumerate(words) if word == id(mark)]
        if len(places) != 1:
            return None
        found[names.get(name, "at_value")] = places[0]
    return found if _context_slots(found) and _arrays_fit() and _lists_fit() else None


def _words(x: Any, size: int) -> list[int]:
    return list((ctypes.c_int64 * (size // 8)).from_address(id(x)))


def _context_slots(found: dict[str, int]) -> bool:
    """The slots of a thread's context."""
    context = type(local.c)()
    for field, slot in (("at_mode", "grad"), ("at_interpreter", "interpreter")):
        mark = object()
        setattr(context, slot, mark)
        words = _words(context, type(context).__basicsize__)
        places = [8 * i for i, word in enumerate(words) if word == id(mark)]
        if len(places) != 1:
            return False
        found[field] = places[0]
    return True


def _arrays_fit() -> bool:
    """Whether an ndarray looks as this file believes."""
    a = np.empty((2, 3), np.float32)
    if np.ndarray.__basicsize__ < ARRAY_WEAKREFS + 8:
        return False
    base, view = id(a), a[0]
    watched = weakref.ref(a)
    weak = np.ndarray.__weakrefoffset__
    sizes = ctypes.c_void_p.from_address(base + DIMENSIONS).value or 0
    flags = ctypes.c_int.from_address(base + ARRAY_FLAGS).value
    return (
        ctypes.c_void_p.from_address(base + DATA).value == a.ctypes.data
        and ctypes.c_int.from_address(base + AXES).value == 2
        and tuple((ctypes.c_ssize_t * 2).from_address(sizes)) == (2, 3)
        and ctypes.c_void_p.from_address(base + DESCRIPTOR).value == id(a.dtype)
        and flags & (PACKED | NEW_ARRAY) == PACKED | NEW_ARRAY & ~0x2
        and flags & 0xFFF == a.flags.num & 0xFFF
        and ctypes.c_void_p.from_address(id(view) + BASE).value == base
        and not ctypes.c_void_p.from_address(base + BASE).value
        and weak == ARRAY_WEAKREFS
        and watched() is a
    )


def _lists_fit() -> bool:
    """Whether lists, tuples, cells and counts of references lie where this file believes."""
    mark = object()
    one = [mark]
    items = ctypes.c_void_p.from_address(id(one) + LIST_ITEMS).value or 0
    pair = (mark,)

    def closed() -> Any:
        return mark

    (cell,) = closed.__closure__ or (None,)
    return (
        ctypes.c_void_p.from_address(items).value == id(mark)
        and ctypes.c_void_p.from_address(id(pair) + TUPLE_ITEMS).value == id(mark)
        and ctypes.c_void_p.from_address(id(cell) + CELL_CONTENT).value == id(mark)
        and sys.getrefcount(one) - ctypes.c_int32.from_address(id(one)).value in (0, 1)
    )


def one_digit(negative: bool) -> int:
    """How an int says that it has one digit, and its sign; something that no int says if
    they look otherwise.
    """
    x = int("-5001" if negative else "5001")
    kind, digit = (ctypes.c_int64.from_address(id(x) + at).value for at in (INT_KIND, INT_DIGIT))
    alone = ctypes.c_int64.from_address(id(x)).value <= 2
    same = sys.int_info.bits_per_digit == DIGIT_BITS and sys.int_info.sizeof_digit == 4
    return kind if same and alone and digit & 0xFFFFFFFF == 5001 else 1 << 40
