"""Anomaly mode: stop at the first nan or inf, forward or backward, and name op, module path and the
user's line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clearprop.core import Primitive, Tensor, local, module_path, user_location
from clearprop.core.dtypes import Aval, from_numpy_dtype
from clearprop.core.state import default_interpreter
from clearprop.errors import AutogradError
from clearprop.flags import flags


def _aval(value: np.ndarray) -> Aval:
    return Aval(value.shape, from_numpy_dtype(value.dtype))


class Checked:
    """The eager interpreter with checks: shape rule against kernel (`shapes`), finite results
    (`finite`).
    """

    traces = False

    def __init__(self, *, shapes: bool, finite: bool) -> None:
        self.shapes = shapes
        self.finite = finite

    def run(self, prim: Primitive, values: Sequence[Any], params: dict[str, Any]) -> Any:
        values = [v.value if isinstance(v, Tensor) else v for v in values]
        out = local.c.run(prim.eager, *values, **params)
        outs = out if isinstance(out, tuple) else (np.asarray(out),)
        if self.shapes:
            rule = prim.shape(*map(_aval, values), **params)
            wanted = list(rule) if prim.outputs > 1 else [rule]
            got = [_aval(np.asarray(v)) for v in outs]
            assert got == wanted, (
                f"{prim.name}: the shape rule says {wanted}, the kernel returned {got}"
            )
        if self.finite:
            self._check(prim, values, outs)
        return out if isinstance(out, tuple) else outs[0]

    def write(self, target: Tensor, source: Tensor) -> None:
        np.copyto(target.value, source.value)

    def snapshot(self, value: np.ndarray) -> np.ndarray:
        return value.copy()

    def assume(self, decide: Callable[[], bool], answer: bool, steady: bool = True) -> None:
        """Nothing is kept here."""

    def count(self, array: np.ndarray) -> int:
        """Nothing is traced here."""
        return 1

    def options(self, options: dict[str, Any]) -> dict[str, Any]:
        return options

    def about_grad(self, tensor: Tensor, reading: bool) -> None:
        """Nothing is traced here."""

    def drawn(self, aval: Aval, draw: Callable[[], Any]) -> Any:
        return draw()

    def contiguous(self, x: Tensor, clone: Callable[[Tensor], Tensor]) -> Tensor:
        return x if x.value.flags.c_contiguous else clone(x)

    def entered(self, module: Any) -> None:
        """Nothing is traced here."""

    def refuse(self, what: str, why: str, value: Any = None) -> None:
        """Every value is known here."""

    def _check(self, prim: Primitive, values: Sequence[Any], outs: Sequence[Any]) -> None:
        if any(v.dtype.kind == "f" and not np.isfinite(v).all() for v in values):
            return  # born earlier
        for v in outs:
            if v.dtype.kind == "f" and not np.isfinite(v).all():
                path, location = module_path(local.c.scope), user_location()
                bad = ~np.isfinite(v)
                kind = "nan" if np.isnan(v).any() else "inf"
                raise AutogradError(
                    f"{prim.name}: the forward pass made {kind}: {int(bad.sum())} non-finite"
                    f" elements of {v.size} from finite inputs"
                    f" {', '.join(str(_aval(x)) for x in values)}"
                    f"{f', in {path}' if path else ''}{f', at {location}' if location else ''}."
                    f" The source line: {location.text if location else '?'}"
                )


class detect_anomaly:
    """Within this block the first non-finite value raises a RuntimeError that names op, module path
    and line.

    Beyond PyTorch: inf as well as nan, and the forward pass as well as the backward pass.
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.on = check_nan

    def __enter__(self) -> None:
        c = local.c
        self._before = (c.interpreter, c.anomaly)
        if self.on:
            c.interpreter, c.anomaly = Checked(shapes=False, finite=True), True

    def __exit__(self, *_: object) -> None:
        local.c.interpreter, local.c.anomaly = self._before


class set_detect_anomaly(detect_anomaly):
    """Anomaly mode on or off from here on (or only inside, with `with`)."""

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        super().__init__(mode and check_nan)
        c = local.c
        self._start = (c.interpreter, c.anomaly)
        if self.on or c.saving is not None:  # (saved_tensors_hooks need one, too)
            c.interpreter = Checked(shapes=False, finite=self.on)
        else:
            c.interpreter = None
        c.anomaly = self.on

    def __enter__(self) -> None:
        self._before = self._start


def _follow_flags() -> None:
    check, nan = bool(flags.check), bool(flags.nancheck)
    default_interpreter[0] = Checked(shapes=check, finite=nan) if check or nan else None
    if local.c.interpreter is None or isinstance(local.c.interpreter, Checked):
        local.c.interpreter = default_interpreter[0]
        local.c.anomaly = nan


flags.watch(_follow_flags)
