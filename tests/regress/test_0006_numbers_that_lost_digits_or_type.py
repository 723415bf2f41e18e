"""`x[0] = 0.1` on a float64 tensor stored the float32 nearest to 0.1; rounding integers and `erf`
of float16 gave float64; `fmod` by an integer zero gave 0.

Cause: a number became a tensor of the default type before it was cast; the kernels of NumPy and
SciPy choose a type of their own; only `//` and `%` looked for zero.
"""

from __future__ import annotations

import pytest

import clearprop as cp


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.fill_(0.1),
        lambda x: x.copy_(0.1),
        lambda x: x.__setitem__(slice(None), 0.1),
        lambda x: x.__setitem__(cp.tensor([0, 1]), 0.1),
        lambda x: x.__setitem__(cp.tensor([True, True]), 0.1),
        lambda x: x.masked_fill_(cp.tensor([True, True]), 0.1),
        lambda x: cp.nn.init.constant_(x, 0.1),
    ],
)
def test_a_number_written_into_float64_keeps_its_digits(write):
    x = cp.zeros(2, dtype=cp.float64)
    write(x)
    assert x.tolist() == [0.1, 0.1]


def test_masked_fill_keeps_the_digits_of_its_number():
    x = cp.zeros(2, dtype=cp.float64)
    assert x.masked_fill(cp.tensor([True, False]), 0.1).tolist() == [0.1, 0.0]


@pytest.mark.parametrize("op", [cp.round, cp.floor, cp.ceil, cp.trunc])
@pytest.mark.parametrize("dtype", [cp.int64, cp.int8, cp.uint8])
def test_whole_numbers_stay_integers_when_rounded(op, dtype):
    y = op(cp.tensor([3, 4], dtype=dtype))
    assert y.dtype is dtype
    assert y.tolist() == [3, 4]


def test_erf_keeps_float16():
    assert cp.erf(cp.tensor([0.5], dtype=cp.float16)).dtype is cp.float16


def test_fmod_by_an_integer_zero_is_an_error():
    with pytest.raises(RuntimeError, match="fmod: ZeroDivisionError"):
        cp.fmod(cp.tensor([3]), cp.tensor([0]))
