"""Every op on every type of element: result type and values are PyTorch's, or both refuse."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from against_torch import flat, name_of, torch

import clearprop as cp

TYPES = "bool uint8 int8 int32 int64 float16 float32 float64".split()
ONE = """
    abs neg sign exp expm1 log log2 log10 log1p sqrt rsqrt reciprocal sin cos tan asin acos atan
    sinh cosh asinh acosh atanh tanh sigmoid erf relu floor ceil round trunc square isnan isinf
    isfinite logical_not bitwise_not digamma erfc erfinv exp2 i0 lgamma logit sinc frac sgn signbit
    deg2rad rad2deg isposinf isneginf isreal positive angle nan_to_num clone sum prod mean std var
    max min amax amin argmax argmin any all count_nonzero median nanmedian nansum nanmean sort
    argsort msort mode unique norm diff trapezoid tril triu trace diag diag_embed cov corrcoef histc
    std_mean aminmax nonzero argwhere bincount vander flatten diagonal
""".split()
MORE = {
    "logsumexp": (0,), "cumsum": (0,), "cumprod": (0,), "softmax": (0,), "cummax": (0,),
    "logcumsumexp": (0,), "topk": (2,), "kthvalue": (2,), "quantile": (0.3,), "clamp": (1, 2),
    "roll": (1, 0),
}  # fmt: skip
TWO = """
    add sub mul div pow maximum minimum atan2 fmod remainder floor_divide eq ne lt le gt ge
    logical_and logical_or logical_xor bitwise_and bitwise_or bitwise_xor bitwise_left_shift
    bitwise_right_shift xlogy logaddexp logaddexp2 hypot copysign fmax fmin gcd lcm nextafter ldexp
    float_power heaviside isclose true_divide rsub dist isin
""".split()
MATRICES = {"trace", "cov", "corrcoef", "tril", "triu", "diagonal"}
# PyTorch has no kernel for bools here; these have a meaning, and clearprop works them out
BOOLS_TOO = set("abs argmax argmin median nanmedian topk kthvalue trace ldexp isin".split())


def outcome(lib, f, arrays):
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return flat(f(lib, *(lib.tensor(a) for a in arrays)))
    except Exception as error:
        return error


def compare(name, f, *arrays):
    theirs, ours = (outcome(lib, f, arrays) for lib in (torch, cp))
    kinds = [a.dtype.name for a in arrays]
    if isinstance(theirs, Exception):
        if name in BOOLS_TOO and "bool" in kinds and not isinstance(ours, Exception):
            return
        assert isinstance(ours, type(theirs)), f"{kinds}: {theirs!r}, {ours!r}"
        return
    assert not isinstance(ours, Exception), f"{kinds}: {ours!r}"
    tolerance = 2e-2 if "float16" in kinds else 1e-5
    for a, b in zip(ours, theirs, strict=True):
        assert name_of(a.dtype) == name_of(b.dtype), kinds
        x, y = (t.numpy().astype(np.float64) for t in (a, b))
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=1e-6, err_msg=str(kinds))


@pytest.mark.parametrize("name", [*ONE, *MORE])
def test_functions_of_one_tensor(name):
    x = np.array([[1, 2], [3, 0]]) if name in MATRICES else np.array([1, 0, 3])
    x = np.array([0, 1, 1]) if name in ("asin", "acos", "atanh", "erfinv", "logit") else x
    for d in TYPES:
        compare(name, lambda lib, t: getattr(lib, name)(t, *MORE.get(name, ())), x.astype(d))


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two_tensors(name):
    x, y = np.array([1, 0, 3]), np.array([2, 1, 2])
    for d, e in itertools.product(TYPES, TYPES):
        compare(name, lambda lib, s, t: getattr(lib, name)(s, t), x.astype(d), y.astype(e))


@pytest.mark.parametrize("name", "add sub mul div pow maximum eq fmod remainder xlogy".split())
def test_functions_of_a_tensor_and_one_without_axes(name):
    for d, e in itertools.product(TYPES, TYPES):
        x, y = np.array([1, 0, 3]).astype(d), np.array(2).astype(e)
        compare(name, lambda lib, s, t: getattr(lib, name)(s, t), x, y)
        if name != "pow":
            compare(name, lambda lib, s, t: getattr(lib, name)(t, s), x + x.dtype.type(1), y)
