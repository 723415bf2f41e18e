"""CHECK=2: what kernels have stored, against eager mode.

A kernel is judged by what it was given: eager mode works on the very numbers that the kernels
before have stored. How much may differ is found out by trial: the same equations on values that are
disturbed by far more than rounding does. Sums that cancel, comparisons near their threshold and
maxima that are almost equal show themselves by results that move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from clearprop.core import local
from clearprop.graph import Equation, Graph, Var
from clearprop.jit.schedule import Callback, Kernel, makes

LIMIT = {"f16": 1e-2, "f32": 1e-3, "f64": 1e-8}  # of what is called the same, if all is calm
NOISE = {"f16": 2e-3, "f32": 1e-5, "f64": 1e-10}  # relative, on everything a kernel reads and makes
PAIRS = 4  # of trials, with opposite noise: a difference that is 0 takes both signs
MARGIN = 8  # times what the trials moved


class Truth:
    """Eager mode's values of a run, kernel by kernel, on a copy of the inputs."""

    def __init__(self, program: Any, inputs: Sequence[np.ndarray]) -> None:
        self.program = program
        graph: Graph = program.graph
        self.known: dict[Var, np.ndarray] = dict(graph.constants)
        self.known.update((v, a.copy()) for v, a in zip(graph.inputs, inputs, strict=True))
        self.maker = {v: (i, e) for i, e in enumerate(graph.equations) for v in e.outputs}
        self.last: dict[Var, int] = {}  # the kernel behind which a value is complete
        for at, kernel in enumerate(program.plan.schedule.kernels):
            self.last.update((v, at) for v in makes(kernel))

    def difference(self, at: int, kernel: Kernel) -> str | None:
        """What is wrong with what kernel `at` has stored; if nothing is, that is the truth now."""
        plan, access = self.program.plan, self.program.plan.schedule.access
        stored = [
            v for v in makes(kernel)
            if v in plan.places and v in self.maker and self.last[v] == at and access[v].base is v
        ]  # fmt: skip
        equations = self._behind(stored)
        true = self._values(equations, stored, None)
        pairs = 0 if isinstance(kernel, Callback) else PAIRS
        noises = [_Noise(seed, sign) for seed in range(pairs) for sign in (1, -1)]
        trials = [self._values(equations, stored, noise) for noise in noises]
        for i, v in enumerate(stored):
            got = self.program.array(access[v]).copy()
            worst = _difference(got, true[i], [t[i] for t in trials], v.aval.dtype.short)
            if worst is not None:
                return f"{v.aval} {worst}"
            self.known[v] = got
        return None

    def _behind(self, values: Sequence[Var]) -> list[Equation]:
        """The equations of values, as far back as to what is known, in order."""
        found: dict[int, Equation] = {}
        wanted = list(values)
        while wanted:
            v = wanted.pop()
            if v not in self.known and self.maker[v][0] not in found:
                i, e = self.maker[v]
                found[i] = e
                wanted += e.inputs
        return [found[i] for i in sorted(found)]

    def _values(
        self, equations: list[Equation], wanted: Sequence[Var], noise: _Noise | None
    ) -> list[np.ndarray]:
        """Eager mode's values, with noise on all that is read and made."""
        values: dict[Var, np.ndarray] = {}
        for e in equations:
            for v in e.inputs:
                if v not in values:
                    values[v] = noise(self.known[v]) if noise else self.known[v]
            found = local.c.run(e.prim.eager, *[values[v] for v in e.inputs], **e.params)
            many = found if e.prim.outputs > 1 else (found,)
            for v, y in zip(e.outputs, many, strict=True):
                values[v] = noise(np.asarray(y)) if noise else np.asarray(y)
        return [values[v] for v in wanted]


class _Noise:
    """Disturbs floating-point numbers."""

    def __init__(self, seed: int, sign: int) -> None:
        self.draw = np.random.default_rng(seed).standard_normal
        self.sign = sign

    def __call__(self, x: np.ndarray) -> np.ndarray:
        if x.dtype.kind != "f":
            return x
        size = self.sign * NOISE[f"f{8 * x.dtype.itemsize}"]
        with np.errstate(all="ignore"):
            return (x * (1 + size * self.draw(x.shape))).astype(x.dtype)


def _difference(got: np.ndarray, true: np.ndarray, trials: list[np.ndarray], d: str) -> str | None:
    """What differs by more than it may."""
    if d not in LIMIT:
        wrong = got != true
        for t in trials:
            wrong &= t == true  # what moves is no fault
        n = int(np.count_nonzero(wrong))
        return f"differs in {n} of {true.size} elements" if n else None
    with np.errstate(all="ignore"):
        a, b = got.astype(np.float64), true.astype(np.float64)
        size = max(1e-30, float(np.abs(b[np.isfinite(b)]).max(initial=0.0)))
        moved = np.zeros(b.shape)
        for t in trials:
            moved = np.maximum(moved, np.where(t == true, 0, np.abs(t - b)))  # NaN stays
        same = (a == b) | (np.isnan(a) & np.isnan(b))
        close = np.abs(a - b) <= LIMIT[d] * (np.abs(b) + size) + MARGIN * moved
        fickle = ~np.isfinite(moved) & np.isfinite(b)
        for t in trials:
            fickle |= np.isfinite(t) != np.isfinite(true)
        wrong = ~(same | close | fickle)
        if not wrong.any():
            return None
        worst = np.nanmax(np.abs(np.where(wrong, a - b, 0)))
        return f"differs by {worst:.3g} in {int(np.count_nonzero(wrong))} of {b.size} elements"
