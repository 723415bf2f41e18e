"""Random programs: eager mode, the traced graph, the simplified one and the one read back from text
agree to the bit, in values, gradients and what was written.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from programs import Program, programs

import clearprop as cp
from clearprop.graph import evaluate, optimize, parse, text, trace, verify


def inputs_of(program: Program, seed: int):
    rng = np.random.default_rng(seed)
    return [cp.tensor(rng.uniform(-1.5, 1.5, s)).requires_grad_() for s in program.shapes]


def values_and_gradients(program: Program):
    def f(*xs):
        values = program.run(*xs)
        total = sum((v * v).mean() for v in values)
        return values, cp.autograd.grad(total, xs, materialize_grads=True)

    return f


def check(program: Program) -> None:
    f = values_and_gradients(program)
    try:
        values, gradients = f(*inputs_of(program, 0))
    except cp.errors.AutogradError:
        with pytest.raises((cp.errors.AutogradError, cp.errors.TraceError)):
            trace(f, *inputs_of(program, 1))  # a saved value was overwritten: in both modes
        return
    wanted = [t.detach().numpy() for t in (*values, *gradients)]
    try:
        traced = trace(f, *inputs_of(program, 1))
    except cp.errors.TraceError as e:
        assert "may or may not have copied" in str(e)
        return
    arrays = [x.detach().numpy() for x in inputs_of(program, 0)]
    simple = verify(optimize(traced.graph))
    for graph in (traced.graph, simple, verify(parse(text(simple)))):
        got = evaluate(graph, [*arrays, *traced.captured])
        for a, b in zip(wanted, got, strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)


QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=500, derandomize=True, deadline=None, suppress_health_check=QUIET)
@given(programs())
def test_programs(program):
    check(program)


@pytest.mark.nightly
@settings(max_examples=10_000, deadline=None, suppress_health_check=QUIET)
@given(programs(30))
def test_many_long_programs(program):
    check(program)
