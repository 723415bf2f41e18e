"""Functions on vectors: at most 3 units in the last place off, and right at the edges."""

import ctypes
import math

import numpy as np
import pytest

from clearprop.jit import vectormath
from clearprop.jit.engine import compile_text

OWN = [
    "exp", "expm1", "log", "log1p", "log2", "log10", "tanh", "sigmoid", "sinh", "cosh", "erf",
    "erfc", "sin", "cos",
]  # fmt: skip
TYPES = {"f32": (np.float32, np.int32, "float"), "f64": (np.float64, np.int64, "double")}


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


def erfc(x):
    """Of more digits than x has: a series without cancellation near 0, a continued fraction."""
    a = np.minimum(np.abs(x), 30)
    scale = np.exp(-a * a) / np.sqrt(np.arctan(np.ones(1, a.dtype)) * 4)
    near, term = np.zeros_like(a), 2 * np.minimum(a, 2.5)
    for n in range(1, 90):
        near += term
        term = term * (2 * np.minimum(a, 2.5) ** 2 / (2 * n + 1))
    far = np.zeros_like(a)
    for n in range(160, 0, -1):
        far = n / 2 / (np.maximum(a, 2) + far)
    far = scale / (np.maximum(a, 2) + far)
    above = np.where(a < 2.2, 1 - scale * near, far)
    return np.where(x < 0, 2 - above, above), np.where(a < 2.2, scale * near, 1 - far)


TRUTH = {
    "sigmoid": sigmoid, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "pow": np.power,
    "atan2": np.arctan2, "erf": lambda x: np.copysign(erfc(x)[1], x), "erfc": lambda x: erfc(x)[0],
}  # fmt: skip


def function(name, d, lanes=16):
    """The function on arrays of whole vectors."""
    text, declares = vectormath.definitions([(name, d, lanes)])
    kind = TYPES[d][2]
    v = f"<{lanes} x {kind}>"
    second = f", {v} %w" if name in vectormath.TWO else ""
    code = compile_text("\n".join([*sorted(declares), text, f"""
define void @f(ptr %x, ptr %y, ptr %o, i64 %n) #0 {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%j, %loop]
  %xp = getelementptr {kind}, ptr %x, i64 %i
  %yp = getelementptr {kind}, ptr %y, i64 %i
  %op = getelementptr {kind}, ptr %o, i64 %i
  %v = load {v}, ptr %xp, align 4
  %w = load {v}, ptr %yp, align 4
  %r = call {v} {vectormath.symbol(name, d, lanes)}({v} %v{second})
  store {v} %r, ptr %op, align 4
  %j = add i64 %i, {lanes}
  %c = icmp ult i64 %j, %n
  br i1 %c, label %loop, label %done
done:
  ret void
}}"""]), "f")  # fmt: skip
    f = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 3, ctypes.c_int64)(code.address("f"))

    def run(x, y=None):
        n = -(-len(x) // lanes) * lanes
        xs, ys, out = np.ones(n, x.dtype), np.ones(n, x.dtype), np.empty(n, x.dtype)
        xs[: len(x)] = x
        ys[: len(x)] = 1 if y is None else y
        f(xs.ctypes.data, ys.ctypes.data, out.ctypes.data, n)
        run.code = code  # stays as long as the function
        return out[: len(x)]

    return run


def worst(name, x, got):
    """The largest error in units of the last place; everything that is not finite must agree."""
    wide = np.float64 if x.dtype == np.float32 else np.longdouble
    with np.errstate(all="ignore"):
        truth = TRUTH.get(name, getattr(np, name, None))(x.astype(wide))
        rounded = truth.astype(x.dtype)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(rounded))
    finite = np.isfinite(rounded) & np.isfinite(got)
    np.testing.assert_array_equal(got[~finite], rounded[~finite])
    zero = rounded == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(rounded[zero]))
    size = np.spacing(np.abs(rounded[finite])).astype(wide)
    return float((np.abs(got[finite].astype(wide) - truth[finite]) / size).max(initial=0))


def samples(d):
    """All over the numbers of a type, and close together where functions bend."""
    kind, whole, _ = TYPES[d]
    rng = np.random.default_rng(0)
    limits = np.iinfo(whole)
    edges = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 0.5, 2.0]
    with np.errstate(all="ignore"):
        return np.concatenate([
            rng.integers(limits.min, limits.max, 200_000, dtype=whole).view(kind),
            *(rng.uniform(-r, r, 60_000).astype(kind) for r in (1e-3, 1, 4, 100, 800)),
            np.arange(-4000, 4000).astype(kind) * kind(np.pi / 2),
            np.array(edges, kind),
        ])  # fmt: skip


@pytest.mark.parametrize("d", TYPES)
@pytest.mark.parametrize("name", OWN)
def test_at_most_three_units_in_the_last_place(name, d):
    x = samples(d)
    assert worst(name, x, function(name, d)(x)) <= 3


@pytest.mark.parametrize("d", TYPES)
@pytest.mark.parametrize("name", sorted(vectormath.FUNCTIONS - set(OWN) - vectormath.TWO))
def test_functions_of_the_library_per_lane(name, d):
    x = np.concatenate([np.linspace(-3, 3, 1001), [0.0, -0.0, np.inf, -np.inf, np.nan]])
    x = x.astype(TYPES[d][0])
    assert worst(name, x, function(name, d)(x)) <= 4


@pytest.mark.parametrize("d", TYPES)
@pytest.mark.parametrize("name", sorted(vectormath.TWO))
def test_functions_of_two_numbers_as_in_numpy(name, d):
    some = [
        0.0,
        -0.0,
        0.3,
        -0.3,
        1.0,
        -1.0,
        2.5,
        -2.5,
        3.0,
        7.0,
        -7.0,
        1e10,
        np.inf,
        -np.inf,
        np.nan,
    ]
    x, y = (a.ravel().astype(TYPES[d][0]) for a in np.meshgrid(some, some))
    with np.errstate(all="ignore"):
        wanted = TRUTH.get(name, getattr(np, name, None))(x, y)
    got = function(name, d)(x, y)
    np.testing.assert_allclose(got, wanted, rtol=4 * np.finfo(x.dtype).eps, atol=0)
    zero = wanted == 0
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(wanted[zero]))


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("name", ["exp", "tanh", "sin", "pow"])
def test_any_number_of_lanes_gives_the_same(name, lanes):
    x = np.linspace(-2, 2, 640).astype(np.float32)
    y = np.full_like(x, 2)
    np.testing.assert_array_equal(function(name, "f32", lanes)(x, y), function(name, "f32")(x, y))


def test_the_yardstick_of_erf():
    x = np.linspace(-6, 27, 3001)
    above, inside = (a.astype(float) for a in erfc(x.astype(np.longdouble)))
    np.testing.assert_allclose(above, [math.erfc(v) for v in x], rtol=1e-15, atol=1e-320)
    np.testing.assert_allclose(np.copysign(inside, x), [math.erf(v) for v in x], rtol=4e-16)


@pytest.mark.nightly
@pytest.mark.parametrize("name", OWN)
def test_every_float32(name):
    f = function(name, "f32", 32)
    for start in range(0, 1 << 32, 1 << 24):
        x = np.arange(start, start + (1 << 24), dtype=np.uint32).view(np.float32)
        assert worst(name, x, f(x)) <= 3
