"""JSON records of what was learnt from a table, read back with every type checked."""

from __future__ import annotations

import json
import math
import typing
from dataclasses import asdict, fields
from typing import Any

from clearprop.data.columns import listed
from clearprop.data.encoders import ENCODERS, Encoder


def dump(record: dict[str, Any]) -> str:
    """Plain JSON; floats keep every digit, and nan and inf raise."""
    return json.dumps(record, indent=1, allow_nan=False)


def load(text: str) -> Any:
    """What `dump` wrote."""
    return json.loads(text, parse_constant=_no_constant)


def encoder_record(encoder: Encoder) -> dict[str, Any]:
    return {"kind": encoder.kind, **asdict(encoder)}  # type: ignore[call-overload]


def encoder_from(record: dict[str, Any]) -> Encoder:
    """What `encoder_record` wrote; ValueError, KeyError or TypeError for anything else."""
    cls = ENCODERS[record.pop("kind")]
    wanted = typing.get_type_hints(cls)
    names = [f.name for f in fields(cls)]
    if set(record) != set(names):
        raise ValueError(f"a {cls.kind} column has the fields {listed(record)}, wanted {names}")
    return cls(**{name: checked(record[name], wanted[name]) for name in names})


def checked(value: Any, wanted: Any) -> Any:
    """A JSON value of a type: str, bool, a finite float, or a list of these (as a tuple)."""
    if typing.get_origin(wanted) is tuple:
        return tuple(checked(v, typing.get_args(wanted)[0]) for v in checked(value, list))
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted or (wanted is float and not math.isfinite(value)):
        raise ValueError(f"{str(value)[:60]!r} where a {wanted.__name__} belongs")
    return value


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")
