"""Every primitive of the table: shape rule, rules against finite differences, rules of rules, what
rules keep.
"""

from __future__ import annotations

import numpy as np
import pytest
from checks import (
    cases,
    check_batched,
    check_formula,
    check_on_arrays,
    check_second_vjp,
    check_shape,
    check_trace,
    check_vjp,
)

from clearprop.core import TABLE, Map

CASES = [case for prim in TABLE.values() for case in cases(prim)]
DIFFERENTIABLE = [case for case in CASES if case.prim.differentiable]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_shape_rule_tells_what_the_kernel_returns(case):
    check_shape(case)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_vjp_agrees_with_finite_differences(case):
    check_vjp(case)


@pytest.mark.parametrize("case", [c for c in CASES if c.prim.array_rules], ids=str)
def test_rules_give_the_same_bits_on_bare_arrays(case):
    check_on_arrays(case)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=str)
def test_vjp_of_vjp_agrees_with_finite_differences(case):
    check_second_vjp(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_traced_and_simplified_it_is_the_same_to_the_bit(case):
    check_trace(case)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_on_a_batch_it_is_one_run_per_example(case):
    check_batched(case)


@pytest.mark.parametrize("case", [c for c in CASES if isinstance(c.prim.lower, Map)], ids=str)
def test_the_formula_is_what_the_kernel_computes(case):
    check_formula(case)


@pytest.mark.parametrize("prim", TABLE.values(), ids=str)
def test_every_primitive_has_a_case_and_a_doc(prim):
    assert cases(prim), f"{prim} has neither examples nor an elementwise kind"
    assert prim.doc.endswith(".")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_kernel_does_not_write_to_its_inputs(case):
    values = case.arrays()
    before = [v.copy() for v in values]
    case.prim.eager(*values, **case.params)
    for a, b in zip(values, before, strict=True):
        np.testing.assert_array_equal(a, b)
