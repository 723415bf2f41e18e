"""Planted faults: a check that cannot fail is no check."""

from __future__ import annotations

import numpy as np
import pytest
from checks import (
    Case,
    check_formula,
    check_on_arrays,
    check_second_vjp,
    check_shape,
    check_trace,
    check_vjp,
)

from clearprop.core import TABLE, Aval, Map, also_arrays, apply, float64, primitive, wrap
from clearprop.errors import TraceError


@pytest.fixture
def plant():
    planted = []

    def make(**changes):
        entry = {
            "doc": "x * x.",
            "eager": np.square,
            "shape": lambda x: x,
            "vjp": (lambda g, _out, x: g * 2 * x,),
            "lower": Map("x*x"),
        }
        name = f"planted_{len(TABLE)}"
        planted.append(name)
        return Case(primitive(name, **(entry | changes)), (Aval((3,), float64),), {}, None, 0)

    yield make
    for name in planted:
        TABLE.pop(name, None)


def test_a_right_entry_passes(plant):
    case = plant()
    check_shape(case), check_vjp(case), check_second_vjp(case), check_trace(case)


def test_wrong_factor_is_caught(plant):
    with pytest.raises(AssertionError):
        check_vjp(plant(vjp=(lambda g, _out, x: g * x,)))


def test_wrong_sign_is_caught(plant):
    with pytest.raises(AssertionError):
        check_vjp(plant(vjp=(lambda g, _out, x: -g * 2 * x,)))


def test_wrong_formula_is_caught(plant):
    check_formula(plant(lower=Map("x * x")))
    with pytest.raises(AssertionError):
        check_formula(plant(lower=Map("x * x + 1")))
    with pytest.raises(ValueError, match="no meaning"):
        check_formula(plant(lower=Map("square(x)")))
    with pytest.raises(ValueError, match="no expression"):
        check_formula(plant(lower=Map("x ? 1 : 0")))


def test_wrong_shape_rule_is_caught(plant):
    with pytest.raises(AssertionError):
        check_shape(plant(shape=lambda x: Aval((1, *x.shape), x.dtype)))


def test_rule_that_drops_the_second_derivative_is_caught(plant):
    with pytest.raises(AssertionError):
        check_second_vjp(plant(vjp=(lambda g, _out, x: g * 2 * x.detach(),)))


def test_rule_that_means_something_else_for_arrays_is_caught(plant):
    check_on_arrays(plant(vjp=(also_arrays(lambda g, _out, _x: g * g.ndim),)))
    with pytest.raises(AssertionError):
        check_on_arrays(plant(vjp=(also_arrays(lambda g, _out, _x: g * hasattr(g, "node")),)))
    with pytest.raises(AssertionError, match="needs a value"):
        plant(vjp=(also_arrays(lambda g, _out, x: g * x),))


def test_rule_that_uses_what_it_did_not_keep_is_caught(plant):
    with pytest.raises((TypeError, AttributeError)):
        check_vjp(plant(vjp=(lambda g, _out, _x: g * 2 * _x,)))


def test_rule_that_computes_outside_the_graph_is_caught(plant):
    with pytest.raises(AssertionError):
        check_trace(plant(vjp=(lambda g, _out, x: g * wrap(np.multiply(2, x.value), None),)))


def test_rule_that_looks_at_a_value_is_caught(plant):
    with pytest.raises(TraceError, match="not known"):
        check_trace(plant(vjp=(lambda g, _out, x: g * 2 * x if x.sum() > 0 else -g * x,)))


def test_rule_with_missing_arguments_is_refused_at_once():
    with pytest.raises(AssertionError, match="a rule takes"):
        primitive(
            "planted_short",
            doc="d.",
            eager=np.square,
            shape=lambda x: x,
            vjp=(lambda g, out: g,),
            lower=Map("x"),
        )


def test_double_entry_is_refused():
    with pytest.raises(AssertionError, match="twice"):
        primitive("exp", doc="d.", eager=np.exp, shape=lambda x: x, vjp=(None,), lower=Map("x"))


def test_entry_is_usable_right_away(plant):
    case = plant()
    x = np.array([1.0, 2.0, 3.0])
    from_table = apply(case.prim, __import__("clearprop").from_numpy(x))
    np.testing.assert_array_equal(from_table.numpy(), x * x)
