"""Random programs with their gradients: machine code agrees with the reference interpreter,
which agrees with eager mode to the bit; with and without the passes, also where values are written
in place.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from programs import Program, programs
from test_programs import QUIET, inputs_of, values_and_gradients

import clearprop as cp
from clearprop.graph import evaluate, optimize, trace
from clearprop.jit.program import Program as Compiled


def check(program: Program, graphs: int) -> None:
    f = values_and_gradients(program)
    try:
        traced = trace(f, *inputs_of(program, 1))
    except (cp.errors.AutogradError, cp.errors.TraceError):
        return  # test_programs looks at these
    values, gradients = f(*inputs_of(program, 0))
    eager = [t.detach().numpy() for t in (*values, *gradients)]
    given = [*(x.detach().numpy() for x in inputs_of(program, 0)), *traced.captured]
    for graph in (optimize(traced.graph), traced.graph)[:graphs]:
        ours, theirs = ([a.copy() for a in given] for _ in range(2))
        wanted = evaluate(graph, theirs)
        for a, b in zip(eager, wanted, strict=True):
            np.testing.assert_array_equal(a, b)
        outputs = [np.full(v.aval.shape, 77, v.aval.dtype.np) for v in graph.outputs]
        Compiled(graph).run(ours, outputs)
        for a, b in zip([*outputs, *ours], [*wanted, *theirs], strict=True):
            size = max(1.0, np.abs(b[np.isfinite(b)]).max(initial=0.0)) if b.size else 1.0
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10 * size)


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=QUIET)
@given(programs())
def test_programs(program):
    check(program, 1)


@pytest.mark.nightly
@settings(max_examples=10_000, derandomize=True, deadline=None, suppress_health_check=QUIET)
@given(programs())
def test_ten_thousand_programs(program):
    check(program, 2)
