"""Which dtype comes out when types are mixed."""

import itertools

import numpy as np
import pytest

import clearprop as cp

DTYPES = [cp.bool, cp.uint8, cp.int8, cp.int16, cp.int32, cp.int64]
DTYPES += [cp.float16, cp.float32, cp.float64]
CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}

# fmt: off
SAME_CATEGORY = {
    (cp.uint8, cp.int8): cp.int16, (cp.uint8, cp.int16): cp.int16, (cp.uint8, cp.int32): cp.int32,
    (cp.uint8, cp.int64): cp.int64, (cp.int8, cp.int16): cp.int16, (cp.int8, cp.int32): cp.int32,
    (cp.int8, cp.int64): cp.int64, (cp.int16, cp.int32): cp.int32, (cp.int16, cp.int64): cp.int64,
    (cp.int32, cp.int64): cp.int64, (cp.float16, cp.float32): cp.float32,
    (cp.float16, cp.float64): cp.float64, (cp.float32, cp.float64): cp.float64,
}
# fmt: on


def expected(a, b):
    """The table: the higher category, and inside one the type that holds both."""
    if a is b:
        return a
    ca, cb = (CATEGORY[d.np.kind] for d in (a, b))
    if ca != cb:
        return a if ca > cb else b
    return SAME_CATEGORY.get((a, b)) or SAME_CATEGORY[b, a]


@pytest.mark.parametrize(("a", "b"), list(itertools.product(DTYPES, DTYPES)))
def test_two_tensors_with_axes_follow_the_table(a, b):
    assert (cp.ones(1, dtype=a) + cp.ones(1, dtype=b)).dtype is expected(a, b)


@pytest.mark.parametrize(("a", "b"), list(itertools.product(DTYPES, DTYPES)))
def test_a_0d_tensor_only_lifts_the_category(a, b):
    higher = CATEGORY[b.np.kind] > CATEGORY[a.np.kind]
    y = cp.ones(1, dtype=a) * cp.ones((), dtype=b)
    assert y.dtype is (b if higher else a)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("number", "category"), [(True, 0), (3, 1), (1.5, 2)])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("shape", [(), (2,)])
def test_a_python_number_only_lifts_the_category(dtype, number, category, swapped, shape):
    x = cp.ones(shape, dtype=dtype)
    lifted = {0: cp.bool, 1: cp.int64, 2: cp.float32}[category]
    wanted = lifted if category > CATEGORY[dtype.np.kind] else dtype
    assert (number * x if swapped else x * number).dtype is wanted


@pytest.mark.parametrize("dtype", [cp.float32, cp.int64])
def test_numpy_scalars_count_as_python_numbers(dtype):
    x = cp.ones(2, dtype=dtype)
    for y in (np.float64(2) * x, x * np.float64(2)):
        assert y.dtype is cp.float32
        assert y.tolist() == [2, 2]


def test_a_number_too_large_for_the_type_becomes_inf():
    with np.errstate(over="ignore"):
        assert (cp.ones(1) + 1e300).tolist() == [float("inf")]


def test_integers_wrap():
    y = cp.tensor([1], dtype=cp.int8) + 300
    assert y.dtype is cp.int8
    assert y.tolist() == [45]


@pytest.mark.parametrize("dtype", [cp.int8, cp.uint8, cp.int64, cp.bool])
def test_true_division_of_integers_gives_the_default_dtype(dtype):
    y = cp.ones(2, dtype=dtype) / cp.ones(2, dtype=dtype)
    assert y.dtype is cp.float32


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda x, y: x // y, [3, -4, -4, 3]),
        (lambda x, y: x % y, [1, 1, -1, -1]),
        (cp.fmod, [1, -1, 1, -1]),
        (lambda x, y: cp.div(x, y, rounding_mode="trunc"), [3, -3, -3, 3]),
        (lambda x, y: cp.div(x, y, rounding_mode="floor"), [3, -4, -4, 3]),
    ],
)
@pytest.mark.parametrize("dtype", [cp.int64, cp.float32])
def test_floor_division_takes_the_sign_of_the_divisor_and_trunc_that_of_x(f, expected, dtype):
    x = cp.tensor([7, -7, 7, -7], dtype=dtype)
    y = cp.tensor([2, 2, -2, -2], dtype=dtype)
    out = f(x, y)
    assert out.dtype is dtype
    assert out.tolist() == expected


@pytest.mark.parametrize("f", [lambda x: x // 0, lambda x: x % 0, lambda x: cp.fmod(x, 0)])
def test_integer_division_by_zero_is_an_error(f):
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        f(cp.tensor([3]))


def test_bool_addition_is_or():
    y = cp.tensor([True, True, False]) + cp.tensor([True, False, False])
    assert y.dtype is cp.bool
    assert y.tolist() == [True, True, False]


@pytest.mark.parametrize("f", [lambda x: x - x, lambda x: -x, lambda x: x - 1, lambda x: 1 - x])
def test_bools_cannot_be_subtracted(f):
    with pytest.raises(RuntimeError, match="not supported"):
        f(cp.tensor([True]))


COMPARISONS = [cp.eq, cp.ne, cp.lt, cp.le, cp.gt, cp.ge]


@pytest.mark.parametrize("f", COMPARISONS)
@pytest.mark.parametrize(("a", "b"), [(cp.int64, cp.float64), (cp.bool, cp.bool)])
def test_comparisons_give_bool(f, a, b):
    y = f(cp.ones(2, dtype=a), cp.ones(2, dtype=b))
    assert y.dtype is cp.bool
    assert y.tolist() == [f in (cp.eq, cp.le, cp.ge)] * 2


@pytest.mark.parametrize("f", [cp.exp, cp.sqrt, cp.sigmoid, cp.sin, cp.log1p])
@pytest.mark.parametrize("dtype", [cp.int64, cp.uint8, cp.bool])
def test_functions_of_real_numbers_make_float32_of_integers(f, dtype):
    assert f(cp.ones(2, dtype=dtype)).dtype is cp.float32


@pytest.mark.parametrize("f", [cp.sum, cp.prod, lambda x: cp.cumsum(x, 0)])
@pytest.mark.parametrize("dtype", [cp.int8, cp.uint8, cp.bool])
def test_sums_of_integers_are_int64(f, dtype):
    assert f(cp.ones(2, dtype=dtype)).dtype is cp.int64


@pytest.mark.parametrize("f", [cp.mean, cp.var, cp.std])
def test_means_of_integers_are_refused(f):
    with pytest.raises(RuntimeError, match=r"could not infer output dtype.* Got: Long"):
        f(cp.tensor([1, 2]))


def test_integers_to_a_negative_power():
    with pytest.raises(RuntimeError, match="Integers to negative integer powers"):
        cp.tensor([2]) ** -1
    assert (cp.tensor([2, 1, -1]) ** cp.tensor([-1, -1, -1])).tolist() == [0, 1, -1]


@pytest.mark.parametrize("f", [cp.matmul, lambda x, y: cp.mm(x, y), lambda x, y: x @ y])
def test_matmul_does_not_promote(f):
    with pytest.raises(RuntimeError, match=r"expected .* same dtype"):
        f(cp.ones(2, 2), cp.ones(2, 2, dtype=cp.float64))


@pytest.mark.parametrize(
    "join",
    [
        lambda x, y: cp.cat([x, y]),
        lambda x, y: cp.stack([x, y]),
        lambda x, y: cp.where(cp.tensor([True]), x, y),
    ],
)
def test_joining_promotes(join):
    assert join(cp.ones(1, dtype=cp.int32), cp.ones(1, dtype=cp.float64)).dtype is cp.float64


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.add_(1.5),
        lambda x: x.mul_(cp.tensor([0.5])),
        lambda x: x.__iadd__(0.5),
        lambda x: x.div_(2),
        lambda x: x.sqrt_(),
    ],
)
def test_in_place_never_changes_the_category(write):
    x = cp.tensor([2])
    with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
        write(x)
    assert x.tolist() == [2]


def test_in_place_keeps_the_dtype_within_a_category():
    x = cp.ones(2)
    x.add_(cp.ones(2, dtype=cp.float64)).mul_(cp.tensor([2, 3]))
    assert x.dtype is cp.float32
    assert x.tolist() == [4, 6]


def test_gradients_come_back_in_the_dtype_of_each_input():
    x = cp.tensor([2.0], requires_grad=True)
    y = cp.tensor([3.0], dtype=cp.float64, requires_grad=True)
    (x * y).sum().backward()
    assert x.grad.dtype is cp.float32 and y.grad.dtype is cp.float64
    assert (x.grad.tolist(), y.grad.tolist()) == ([3], [2])
