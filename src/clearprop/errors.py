"""clearprop's exceptions. Each is also the built-in type that PyTorch raises in the same place.

ClearpropError
├── ShapeError (RuntimeError)        sizes that do not fit
├── DtypeError (RuntimeError)        element types that do not fit
├── LinAlgError (RuntimeError)       a matrix without the inverse or factors that are asked for
├── AutogradError (RuntimeError)     a backward pass that cannot be done
├── TraceError (RuntimeError)        a program that cannot be traced
├── DeviceError (AssertionError,     a device that is not there
│                RuntimeError)
├── DataError (ValueError)           a file or table that cannot be used: `path`, `row`
└── MissingExtraError (ImportError)  an optional package that is not installed
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from types import ModuleType


class ClearpropError(Exception):
    """Base of all errors that clearprop raises on purpose."""


class ShapeError(ClearpropError, RuntimeError):
    """Sizes that do not fit together."""


class DtypeError(ClearpropError, RuntimeError):
    """Element types that do not fit together."""


class UnsupportedDtypeError(DtypeError, NotImplementedError):
    """An element type that an op has no meaning for."""


class LinAlgError(ClearpropError, RuntimeError):
    """A matrix that has not the inverse or the factors that are asked for."""


class AutogradError(ClearpropError, RuntimeError):
    """A backward pass that cannot be done."""


class TraceError(ClearpropError, RuntimeError):
    """A program that cannot be traced into a graph."""


class DeviceError(ClearpropError, AssertionError, RuntimeError):
    """A device that is not there. (PyTorch without CUDA raises AssertionError for a GPU, and
    RuntimeError for others.)
    """


class DataError(ClearpropError, ValueError):
    """A file or table that cannot be used; `path` and `row` (1-based line) say where."""

    def __init__(self, message: str, path: object = None, row: int | None = None) -> None:
        super().__init__(message)
        self.path = path
        self.row = row


class MissingExtraError(ClearpropError, ImportError):
    """An optional package that is not installed."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'price'?` where a known word is close, else an empty string."""
    close = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def optional_import(name: str, extra: str) -> ModuleType:
    """Import a package that only an extra of clearprop installs; the error says which."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"{name} is not installed; install it with: pip install 'clearprop[{extra}]'"
        ) from error
