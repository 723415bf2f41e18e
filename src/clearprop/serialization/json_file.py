"""JSON files: written all or nothing, floats exact, NaN and infinity only when asked for."""

from __future__ import annotations

import json
import os
from typing import Any

from clearprop.errors import DataError
from clearprop.serialization.atomic import atomic_write


def write_json(path: str | os.PathLike[str], value: Any, *, allow_nan: bool = False) -> None:
    """Write `value` as JSON; every float comes back as the same float.

    NaN and infinity are no JSON: ValueError, unless `allow_nan` (then Python's words for them).
    TypeError for what JSON has no form for.

    >>> import pathlib, tempfile
    >>> from clearprop.serialization import read_json, write_json
    >>> file = pathlib.Path(tempfile.mkdtemp(), "config.json")
    >>> write_json(file, {"lr": 0.1})
    >>> read_json(file)
    {'lr': 0.1}
    """
    try:
        text = json.dumps(value, indent=1, allow_nan=allow_nan)
    except ValueError as error:
        hint = "" if allow_nan else "; NaN and infinity need allow_nan=True"
        raise ValueError(f"write_json: {path}: {error}{hint}") from error
    except TypeError as error:
        raise TypeError(f"write_json: {path}: {error}") from error
    atomic_write(path, (text + "\n").encode())


def read_json(path: str | os.PathLike[str], *, allow_nan: bool = False) -> Any:
    """The value in a JSON file; DataError with the line where it is none, or cannot be read."""

    def no_number(word: str) -> Any:
        raise DataError(f"read_json: {path}: {word} is no JSON; allow_nan=True reads it", path)

    try:
        with open(path, "rb") as file:
            text = file.read().decode()
        return json.loads(text, parse_constant=None if allow_nan else no_number)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"read_json: {path}: cannot be read: {reason}", path) from error
    except UnicodeDecodeError as error:
        raise DataError(f"read_json: {path}: not UTF-8 text: {error}", path) from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"read_json: {path}: line {error.lineno}, column {error.colno}: {error.msg}; "
            "the file is cut off or damaged",
            path,
            row=error.lineno,
        ) from error
    except RecursionError as error:
        raise DataError(f"read_json: {path}: nested too deeply", path) from error
