"""Special functions and other elementwise ops against PyTorch: value, dtype, shape, first and
second gradient; at ordinary inputs and at 0, -0.0, inf, nan, ties; the same type of error.

A row of a table is a name, a function of the library and tensors, and the arrays for it.
"""

from __future__ import annotations

import numpy as np
import pytest
from against_torch import both, call, raises_the_same, rows, torch

import clearprop as cp

RNG = np.random.default_rng(0)
X = RNG.uniform(-2, 2, (3, 4))
Y = RNG.uniform(0.3, 2.5, (3, 4))
P = RNG.uniform(0.05, 0.95, (3, 4))
SPECIAL = np.array([0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 2.0, 1e-30, -1e30, np.inf, -np.inf, np.nan])


# ---------------------------------------------------------------------- special functions
UNARY = {
    **dict.fromkeys("lgamma digamma special.entr special.psi special.gammaln".split(), Y),
    **dict.fromkeys(
        """
        erfc exp2 sinc special.erfcx special.ndtr special.log_ndtr special.i0 special.i0e i0
        special.i1 special.i1e special.expit special.erf special.expm1
        """.split(),
        X,
    ),
    **dict.fromkeys("logit special.ndtri erfinv special.log1p".split(), P),
}
# points at which PyTorch's gradient is not the derivative: poles of trigamma, overflow, nan
LEFT_OUT = {
    **dict.fromkeys(["lgamma", "special.gammaln", "digamma", "special.psi"], (-1e30, -np.inf, -1)),
    "special.log_ndtr": (-1e30, -np.inf),
    "special.i1": (np.nan,),
    "special.i1e": (np.nan, -1e30),
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_functions_of_one_tensor(name, dtype):
    tol = 1e-9 if dtype == "float64" else 1e-4
    both(call(name), UNARY[name], dtype=dtype, rtol=tol, atol=tol)


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor_at_special_values(name):
    both(call(name), SPECIAL, grad=False)
    left_out = LEFT_OUT.get(name, ())
    keep = [not any(v == w or (v != v and w != w) for w in left_out) for v in SPECIAL]
    both(call(name), SPECIAL[keep], second=False, rtol=1e-8)


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_tensor_of_integers(name):
    both(call(name), np.array([1, 2, 3]), rtol=2e-6)


BINARY = "xlogy special.xlog1py logaddexp logaddexp2".split()


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shapes", [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (3,))])
def test_functions_of_two_tensors_with_broadcasting(name, shapes):
    rng = np.random.default_rng(1)
    both(call(name), *(rng.uniform(0.5, 2, s) for s in shapes))


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_tensors_at_special_values(name):
    x, y = (a.reshape(-1) for a in np.meshgrid(SPECIAL, SPECIAL))
    both(call(name), x, y, second=False)


OTHERS = [
    ("polygamma", lambda lib, x: [lib.polygamma(n, x) for n in (0, 1, 2)], Y),
    ("mvlgamma", call("mvlgamma", 2), Y + 0.6),
    ("logit", call("logit", eps=0.2), P),
    (
        "gammainc",
        lambda lib, x: lib.special.gammainc(lib.full((3, 4), 1.5, dtype=lib.float64), x),
        Y,
    ),
    (
        "gammaincc",
        lambda lib, x: lib.special.gammaincc(lib.full((3, 4), 1.5, dtype=lib.float64), x),
        Y,
    ),
]


@pytest.mark.parametrize("row", rows(OTHERS))
def test_other_special_functions(row):
    both(row[1], row[2], rtol=1e-8, atol=1e-8)  # PyTorch's trigamma has nine digits


# ---------------------------------------------------------------------- pointwise
ONE = """
    frac deg2rad rad2deg positive sgn signbit isposinf isneginf isreal fix angle conj real arccos
    arcsin arctan arctanh
""".split()


@pytest.mark.parametrize("name", ONE)
def test_more_functions_of_one_tensor(name):
    both(call(name), P - 0.5)
    both(call(name), SPECIAL, second=False)
    both(call(name), np.array(0.25))
    both(call(name), np.zeros((0, 3)))
    both(call(name), P.T)
    if name not in ("frac",):
        both(call(name), np.array([1, 0, -1]), rtol=1e-6)


TWO = "hypot copysign fmax fmin true_divide rsub".split()


@pytest.mark.parametrize("name", TWO)
def test_more_functions_of_two_tensors(name):
    both(call(name), X, Y)
    both(call(name), X, Y[0])
    both(call(name), np.float64(0.5), Y)
    finite = SPECIAL[np.isfinite(SPECIAL)] if name == "copysign" else SPECIAL
    x, y = (a.reshape(-1) for a in np.meshgrid(finite, finite))
    both(call(name), x, y, second=False)


def test_at_a_tie_fmax_and_fmin_give_the_gradient_to_the_first():
    for name in ("fmax", "fmin"):
        both(call(name), np.array([1.0, 2.0, np.nan]), np.array([1.0, np.nan, 1.0]))


WHOLE = np.array([12, -8, 7, 0, 5, 3]), np.array([18, 6, 0, 4, 2, 1])


@pytest.mark.parametrize("name", "gcd lcm bitwise_left_shift bitwise_right_shift".split())
def test_whole_number_arithmetic(name):
    both(call(name), *WHOLE)
    both(call(name), WHOLE[0].astype(np.int32), WHOLE[1])
    raises_the_same(call(name), X, Y)


def test_shifts_as_operators():
    both(lambda lib, x, y: [x << y, x >> y, x << 2, x >> 1], *WHOLE)


POINTWISE = [
    ("ldexp", call("ldexp"), X, WHOLE[1][:4]),
    ("frexp", lambda lib, x: tuple(lib.frexp(x)), np.array([8.0, -3.0, 0.3, 1e-30, 0.0])),
    ("float_power", lambda lib, x: lib.float_power(x, 2), X),
    ("float_power", call("float_power"), Y.astype(np.float32), X),
    ("float_power", lambda lib, x: lib.float_power(x, 2), np.array([1, 2, 3])),
    ("nextafter", call("nextafter"), np.array([1.0, -1.0, 0.0]), np.array([2.0, -2.0, 1.0])),
    ("heaviside", call("heaviside"), SPECIAL, np.float64(0.5)),
    ("clamp_min", lambda lib, x: lib.clamp_min(x, 0.5), X),
    ("clamp_max", lambda lib, x: lib.clamp_max(x, 0.5), X),
    ("clamp_min", call("clamp_min"), X, Y),
    ("add", lambda lib, x, y: lib.add(x, y, alpha=2), X, Y),
    ("sub", lambda lib, x, y: lib.sub(x, y, alpha=0.5), X, Y),
    ("rsub", lambda lib, x, y: lib.rsub(x, y, alpha=3), X, Y),
    ("isclose", call("isclose"), SPECIAL, SPECIAL),
    ("isclose", call("isclose", equal_nan=True), SPECIAL, SPECIAL),
    ("isclose", call("isclose", rtol=0.5, atol=0.1), X, Y),
    ("isclose", call("isclose"), WHOLE[0], WHOLE[1]),
    ("allclose", call("allclose"), X, X + 1e-9),
    ("allclose", call("allclose"), X, Y),
    ("equal", call("equal"), X, X),
    ("equal", call("equal"), X, Y),
    ("equal", call("equal"), X, X[0]),
]


@pytest.mark.parametrize("row", rows(POINTWISE))
def test_pointwise(row):
    _, f, *arrays = row
    both(f, *arrays, grad=row[0] not in ("nextafter", "heaviside"))


WRONG = [
    ("hypot", call("hypot"), WHOLE[0], WHOLE[1]),
    ("nextafter", call("nextafter"), WHOLE[0], WHOLE[1]),
    ("logaddexp", call("logaddexp"), WHOLE[0], WHOLE[1]),
    ("frac", call("frac"), WHOLE[0]),
    ("frexp", call("frexp"), WHOLE[0]),
    ("heaviside", call("heaviside"), X, WHOLE[0][:4]),
    ("isclose", call("isclose"), X, WHOLE[0][:4]),
    ("isclose", call("isclose", rtol=-1.0), X, Y),
    ("allclose", call("allclose"), X, WHOLE[0][:4]),
    ("positive", call("positive"), X > 0),
    ("polygamma", lambda lib, x: lib.polygamma(-1, x), X),
    ("mvlgamma", call("mvlgamma", 0), Y),
]


@pytest.mark.parametrize("row", rows(WRONG))
def test_mistakes(row):
    _, f, *arrays = row
    raises_the_same(f, *arrays)


# ---------------------------------------------------------------------- types
def test_questions_about_types():
    names = "bool uint8 int8 int16 int32 int64 float16 float32 float64".split()
    for a in names:
        for b in names:
            x, y = getattr(cp, a), getattr(cp, b)
            theirs = getattr(torch, a), getattr(torch, b)
            assert cp.can_cast(x, y) == torch.can_cast(*theirs)
            assert (
                str(cp.promote_types(x, y)).split(".")[1]
                == str(torch.promote_types(*theirs)).split(".")[1]
            )
    for name in ("float16", "float32", "float64"):
        for part in "bits eps max min tiny smallest_normal resolution dtype".split():
            got = getattr(cp.finfo(getattr(cp, name)), part)
            assert got == getattr(torch.finfo(getattr(torch, name)), part), (name, part)
    for name in ("uint8", "int8", "int16", "int32", "int64"):
        for part in "bits max min dtype".split():
            got = getattr(cp.iinfo(getattr(cp, name)), part)
            assert got == getattr(torch.iinfo(getattr(torch, name)), part)


@pytest.mark.parametrize(
    "pair", [(1, 2.0), (True, 1), (1, 1), (np.array([1]), 1.5), (np.array([1.0]), np.array(2))]
)
def test_result_type(pair):
    def f(lib):
        made = [lib.tensor(p) if isinstance(p, np.ndarray) else p for p in pair]
        return str(lib.result_type(*made)).split(".")[1]

    both(f)
