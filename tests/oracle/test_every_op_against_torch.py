"""Every call of `calls_of_ops.py` in clearprop and in PyTorch: values, types, shapes, first and
second gradients, and where one of them raises, the type of the error. Every call is made with
ordinary numbers and then with each of `CHANGES`: other types, transposed memory, ugly values, no
elements, sizes of one, too few and too many axes, sizes that do not fit.

What is allowed to differ stands in `allowed_differences.py`, with its reason.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from against_torch import flat, name_of, torch, weighted
from allowed_differences import ALLOWED

import clearprop as cp
from every_op import (
    ARRAYS,
    Call,
    derived_calls,
    evaluate,
    names_in,
    namespace,
    own_calls,
)

UGLY = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 0.5, 2.0, -3.0, 1e30, -1e-30])
SORTED = ("S",)  # what it is looked up in stays sorted

Change = Callable[[str, np.ndarray], Any]


def on_floats(f: Callable[[np.ndarray], Any]) -> Change:
    return lambda name, a: f(a) if a.dtype.kind == "f" else a


def whole(a: np.ndarray) -> np.ndarray:
    return np.rint(np.nan_to_num(a, posinf=9, neginf=-9)).astype(np.int64)


def ugly(name: str, a: np.ndarray) -> np.ndarray:
    if a.dtype.kind != "f" or not a.ndim or name in SORTED:
        return a
    return np.resize(np.random.default_rng(len(name) + a.size).permutation(UGLY), a.shape)


@dataclass(frozen=True)
class Transposed:
    """An array whose tensor is a transposed view."""

    array: np.ndarray


CHANGES: dict[str, tuple[Change, int]] = {  # the change, and the highest order of derivative
    "float64": (lambda name, a: a, 2),
    "float32": (on_floats(lambda a: a.astype(np.float32)), 1),
    "int64": (on_floats(lambda a: whole(a * 2)), 0),
    "bool": (on_floats(lambda a: a > 0), 0),
    "transposed": (on_floats(Transposed), 2),
    "ugly": (ugly, 1),
    "ties": (on_floats(np.rint), 1),
    "empty": (lambda name, a: a[:0] if a.ndim else a, 1),
    "one": (lambda name, a: a[:1] if a.ndim else a, 1),
    "last one": (lambda name, a: a[..., :1] if a.ndim else a, 1),
    "0-d": (lambda name, a: a.reshape(-1)[:1].reshape(()), 1),
    "one axis more": (lambda name, a: a[None], 1),
}
# these change one array of a call: the first, the second
FIRST: dict[str, Change] = {
    "other sizes": lambda name, a: np.resize(a, (5, 2)),
    "other type": lambda name, a: whole(a) if a.dtype.kind == "f" else a.astype(np.float64),
}
MODES = [*CHANGES, *(f"{name} {i}" for name in FIRST for i in (0, 1))]
# PyTorch ends the process there: a division by zero, indices beyond the table
CRASHES = re.compile(r"(F\.)?pdist\(X.*empty|embedding_bag\(.*(empty|0-d|axis more|other)"
                     r"|grid_sample\(.*ugly")  # fmt: skip


def arrays_for(text: str, mode: str) -> tuple[dict[str, Any], int] | None:
    names = names_in(text)
    if mode in CHANGES:
        change, order = CHANGES[mode]
        return {name: change(name, ARRAYS[name]) for name in names}, order
    kind, number = mode.rsplit(" ", 1)
    if int(number) >= len(names):
        return None
    given = {name: ARRAYS[name] for name in names}
    which = names[int(number)]
    given[which] = FIRST[kind](which, given[which])
    return given, 0


def made(lib: Any, a: Any, grad: bool) -> Any:
    if isinstance(a, Transposed):
        axes = tuple(range(a.array.ndim - 1, -1, -1))
        x = lib.tensor(a.array.T.copy()).permute(axes)
        return x.requires_grad_() if grad else x
    x = lib.tensor(a)
    return x.requires_grad_() if grad and a.dtype.kind == "f" else x


def outcome(lib: Any, text: str, arrays: dict[str, Any], order: int) -> list[Any]:
    """Values, first gradients, ...: each a list, or the exception that came instead (the last)."""
    xs = {name: made(lib, a, order > 0) for name, a in arrays.items()}
    wanted = [x for x in xs.values() if x.requires_grad]
    found: list[Any] = []
    try:
        found.append(flat(evaluate(lib, text, xs)))
        for i in range(order):
            total = weighted(lib, found[-1], float(i))
            if total is None or not wanted:
                break
            more = i + 1 < order
            found.append(
                list(lib.autograd.grad(total, wanted, create_graph=more, allow_unused=True))
            )
    except Exception as e:
        found.append(e)
    return found


def as_array(y: Any) -> np.ndarray:
    return y.detach().numpy(force=True) if isinstance(y, torch.Tensor) else y.detach().numpy()


def unlike(a: Any, b: Any, what: str, exact: bool) -> str | None:
    """How a (ours) differs from b; a gradient that is missing is 0."""
    if a is None and b is None:
        return None
    if not isinstance(b, torch.Tensor) and not isinstance(a, cp.Tensor):
        if isinstance(b, torch.dtype):
            a, b = name_of(a), name_of(b)
        b = tuple(b) if isinstance(b, torch.Size) else b
        near = isinstance(b, float) and abs(a - b) < 1e-6
        both_nan = a != a and b != b
        return (
            None if type(a) is type(b) and (a == b or near or both_nan) else f"{what}: {a!r}, {b!r}"
        )
    if a is None or b is None:
        there = as_array(b if a is None else a)
        return None if not there.any() else f"{what}: one has no gradient"
    if not isinstance(a, cp.Tensor) or not isinstance(b, torch.Tensor):
        return f"{what}: {type(a).__name__}, {type(b).__name__}"
    x, y = as_array(a), as_array(b)
    if x.dtype != y.dtype or x.shape != y.shape:
        return f"{what}: {x.dtype}{x.shape}, {y.dtype}{y.shape}"
    tolerance = 3e-5 if x.dtype == np.float32 or not exact else 1e-8
    same = np.isclose(x, y, tolerance, tolerance, equal_nan=True)
    if same.all():
        return None
    at = np.unravel_index(np.argmin(same), same.shape)
    return f"{what}: {x[at]} and {y[at]} at {list(map(int, at))}, {np.sum(~same)} of {same.size}"


def difference(text: str, mode: str) -> str | None:
    given = arrays_for(text, mode)
    if given is None or CRASHES.search(f"{text} {mode}"):
        return None
    arrays, order = given
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        ours, theirs = (outcome(lib, text, arrays, order) for lib in (cp, torch))
    exact = mode not in ("float32", "int64") and "float32" not in text
    names = ("value", "gradient", "second gradient")
    for what, a, b in zip(names, ours, theirs, strict=False):
        if isinstance(b, Exception):
            if what != "value":
                return None  # PyTorch has no such derivative
            if isinstance(b, NotImplementedError):
                # no kernel for the type: computed here, or the same to a user who catches errors
                fine = not isinstance(a, Exception) or isinstance(a, RuntimeError | TypeError)
            else:
                kinds = (type(b), *((cp.linalg.LinAlgError,) if "_LinAlg" in repr(b) else ()))
                fine = isinstance(a, kinds)
            if fine:
                return None
            mine = f"{type(a).__name__}: {a}" if isinstance(a, Exception) else "no error"
            return f"{what}: {mine:.150}, but PyTorch: {type(b).__name__}: {b!s:.150}"
        if isinstance(a, Exception):
            return f"{what}: {type(a).__name__}: {a!s:.250}, but PyTorch computes it"
        if len(a) != len(b):
            return f"{what}: {len(a)} results, {len(b)}"
        for x, y in zip(a, b, strict=True):
            found = unlike(x, y, what, exact)
            if found:
                return found
    return None


def differences(call: Call, modes: list[str]) -> list[str]:
    found = []
    for mode in modes:
        if (names_in(call.text) or mode == "float64") and mode not in ALLOWED.get(call.op, ()):
            d = difference(call.text, mode)
            if d:
                found.append(f"{call.text} [{mode}] {d}")
    return found


@pytest.mark.parametrize("call", own_calls(), ids=str)
def test_functions(call):
    assert not differences(call, MODES)


@pytest.mark.parametrize("call", derived_calls(), ids=str)
def test_second_names_and_methods(call):
    assert not differences(call, ["float64", "float32", "int64", "other sizes 1"])


def test_every_allowed_difference_has_an_op():
    assert set(ALLOWED) <= {call.op for call in own_calls() + derived_calls()}
    assert {mode for modes in ALLOWED.values() for mode in modes} <= set(MODES)


def test_a_difference_is_found(monkeypatch):
    call = next(c for c in own_calls() if c.text == "tanh(X)")
    assert not differences(call, ["float64"])
    ours = cp.tanh
    monkeypatch.setitem(namespace(cp), "tanh", lambda x: ours(x) * (1 + 1e-6))
    assert differences(call, ["float64"])
