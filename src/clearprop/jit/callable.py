"""An object that Python calls by going straight to an address in machine code.

`code` is the address of a function as CPython's vectorcall protocol has it; while it is 0, and
where objects are laid out in another way, a call goes to `__call__` as with any other object.
"""

from __future__ import annotations

import ctypes
import sys
import sysconfig
import types
from typing import Any

BASIC_SIZE, VECTORCALL_OFFSET, TYPE_FLAGS = 32, 56, 168  # where they lie in a type
HAVE_VECTORCALL = 1 << 11


class NativeCallable(ctypes.Structure):
    """Two addresses inside the object itself: the machine code, and what it works by."""

    entry: Any

    _fields_ = (("_code", ctypes.c_void_p), ("_record", ctypes.c_void_p))

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if fits():
            at = id(cls)
            ctypes.c_ssize_t.from_address(at + VECTORCALL_OFFSET).value = CODE
            ctypes.c_uint32.from_address(at + TYPE_FLAGS).value |= HAVE_VECTORCALL

    __hash__ = object.__hash__


def _fields_at() -> int:
    one = NativeCallable()
    return ctypes.addressof(one) - id(one)


CODE = _fields_at()  # how far behind the beginning of the object the addresses lie
RECORD = CODE + 8


def fits() -> bool:
    """Whether types lie in memory as this file believes."""
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        return False
    if ctypes.sizeof(ctypes.c_void_p) != 8 or sys.byteorder != "little" or CODE <= 0:
        return False
    kinds: tuple[Any, ...] = (int, dict, types.FunctionType, types.BuiltinFunctionType, type)
    if any(_word(t, BASIC_SIZE) != t.__basicsize__ for t in kinds):
        return False
    if any(_word(t, TYPE_FLAGS) & 0xFFFFFFFF != t.__flags__ for t in kinds):
        return False
    builtin = types.BuiltinFunctionType  # its last field is the address that is called
    return (
        bool(builtin.__flags__ & HAVE_VECTORCALL)
        and _word(builtin, VECTORCALL_OFFSET) == builtin.__basicsize__ - 8
        and _word(int, VECTORCALL_OFFSET) == 0
    )


def _word(kind: type, at: int) -> int:
    return ctypes.c_ssize_t.from_address(id(kind) + at).value
