"""Making tensors: which dtype and shape come out, and what is refused."""

import numpy as np
import pytest

import clearprop as cp


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, cp.int64),
        (1.0, cp.float32),
        (True, cp.bool),
        ([1, 2], cp.int64),
        ([1.0, 2], cp.float32),
        ([[1, 2.5]], cp.float32),
        ([True, False], cp.bool),
        ([], cp.float32),
        (np.float64(2), cp.float64),
        (np.int32(2), cp.int32),
        (np.zeros(2), cp.float64),
        (np.zeros(2, np.float16), cp.float16),
        (np.zeros(2, np.uint8), cp.uint8),
        (np.zeros(2, bool), cp.bool),
    ],
)
def test_tensor_infers_the_dtype(data, dtype):
    t = cp.tensor(data)
    assert t.dtype is dtype
    assert t.shape == np.shape(data)
    np.testing.assert_array_equal(t.numpy(), np.asarray(data))


def test_the_class_makes_float32_of_integers():
    assert cp.Tensor([1, 2]).dtype is cp.float32


def test_tensor_copies_its_data():
    a = np.zeros(2)
    t = cp.tensor(a)
    a[0] = 5
    assert t.tolist() == [0, 0]


def test_tensor_of_a_tensor_is_a_new_leaf():
    x = cp.tensor([1.0, 2.0], requires_grad=True)
    y = cp.tensor(x.detach())
    assert not y.requires_grad
    y.zero_()
    assert x.tolist() == [1, 2]


def test_tensor_takes_lists_of_tensors():
    assert cp.tensor([cp.tensor(1.0), cp.tensor(2.0)]).tolist() == [1, 2]


@pytest.mark.parametrize("dtype", [cp.float64, "float64", np.float64, np.dtype("f8")])
def test_dtype_is_taken_by_any_of_its_names(dtype):
    t = cp.tensor([1, 2], dtype=dtype)
    assert t.dtype is cp.float64
    assert t.tolist() == [1.0, 2.0]


def test_large_integers_keep_their_digits():
    assert cp.tensor(2**62 + 1).item() == 2**62 + 1


@pytest.mark.parametrize("make", [cp.zeros, cp.ones, cp.empty, cp.rand, cp.randn])
@pytest.mark.parametrize("size", [(2, 3), ((2, 3),), ([2, 3],)])
def test_a_size_is_given_as_numbers_tuple_or_list(make, size):
    t = make(*size)
    assert t.shape == (2, 3) and t.dtype is cp.float32


@pytest.mark.parametrize("make", [cp.zeros, cp.ones, cp.empty, cp.rand, cp.randn])
def test_sizes_may_be_empty_or_none_at_all(make):
    assert make().shape == ()
    assert make(0, 3).shape == (0, 3)


@pytest.mark.parametrize(("make", "number"), [(cp.zeros, 0), (cp.ones, 1)])
@pytest.mark.parametrize("dtype", [cp.float64, cp.int8, cp.bool])
def test_zeros_and_ones_of_a_dtype(make, number, dtype):
    t = make(3, dtype=dtype)
    assert t.dtype is dtype
    assert t.tolist() == [number] * 3


@pytest.mark.parametrize(
    ("number", "dtype"), [(1, cp.int64), (1.5, cp.float32), (True, cp.bool), (-2, cp.int64)]
)
def test_full_takes_the_dtype_of_its_number(number, dtype):
    t = cp.full((2,), number)
    assert t.dtype is dtype
    assert t.tolist() == [number] * 2


@pytest.mark.parametrize(
    ("make", "number"),
    [(cp.zeros_like, 0), (cp.ones_like, 1), (lambda x, **k: cp.full_like(x, 7, **k), 7)],
)
def test_like_takes_shape_and_dtype_and_no_history(make, number):
    x = cp.tensor([[1.0], [2.0]], dtype=cp.float64, requires_grad=True)
    y = make(x)
    assert y.dtype is cp.float64 and not y.requires_grad
    assert y.tolist() == [[number], [number]]
    assert make(x, dtype=cp.int32).dtype is cp.int32


@pytest.mark.parametrize("make", [cp.empty_like, cp.rand_like, cp.randn_like])
def test_random_and_empty_like_take_shape_and_dtype(make):
    y = make(cp.zeros(2, 3, dtype=cp.float64))
    assert y.shape == (2, 3) and y.dtype is cp.float64


@pytest.mark.parametrize(
    ("args", "expected", "dtype"),
    [
        ((3,), [0, 1, 2], cp.int64),
        ((3.0,), [0, 1, 2], cp.float32),
        ((1, 4), [1, 2, 3], cp.int64),
        ((1, 8, 3), [1, 4, 7], cp.int64),
        ((5, 0, -2), [5, 3, 1], cp.int64),
        ((0, 1, 0.25), [0, 0.25, 0.5, 0.75], cp.float32),
        ((2, 2), [], cp.int64),
    ],
)
def test_arange(args, expected, dtype):
    t = cp.arange(*args)
    assert t.dtype is dtype
    assert t.tolist() == expected


@pytest.mark.parametrize(
    ("args", "message"),
    [((0, 1, 0), "step must be nonzero"), ((1, 0), "bound inconsistent with step sign")],
)
def test_arange_refuses_steps_that_lead_nowhere(args, message):
    with pytest.raises(RuntimeError, match=message):
        cp.arange(*args)


@pytest.mark.parametrize(
    ("args", "expected"),
    [((0, 1, 5), [0, 0.25, 0.5, 0.75, 1]), ((3, -1, 3), [3, 1, -1]), ((2, 7, 1), [2])],
)
def test_linspace_holds_both_ends(args, expected):
    t = cp.linspace(*args)
    assert t.dtype is cp.float32
    assert t.tolist() == expected


@pytest.mark.parametrize(("n", "m"), [(3, None), (2, 3), (3, 2), (0, None)])
def test_eye(n, m):
    np.testing.assert_array_equal(cp.eye(n, m).numpy(), np.eye(n, m, dtype=np.float32))


@pytest.mark.parametrize(
    ("args", "low", "high", "shape"),
    [((5, (200,)), 0, 5, (200,)), ((-2, 2, (9, 9)), -2, 2, (9, 9))],
)
def test_randint_stays_within_its_bounds(args, low, high, shape):
    t = cp.randint(*args)
    assert t.dtype is cp.int64 and t.shape == shape
    assert set(t.numpy().ravel().tolist()) == set(range(low, high))


def test_randperm_holds_every_number_once():
    t = cp.randperm(50)
    assert t.dtype is cp.int64
    assert sorted(t.tolist()) == list(range(50))


@pytest.mark.parametrize("make", [cp.zeros, cp.ones, cp.rand, cp.randn])
def test_a_new_tensor_may_ask_for_a_gradient(make):
    t = make(2, requires_grad=True)
    assert t.requires_grad and t.is_leaf


@pytest.mark.parametrize("dtype", [cp.int64, cp.bool])
def test_only_floating_point_may_require_a_gradient(dtype):
    with pytest.raises(RuntimeError, match="only Tensors of floating point dtype can require"):
        cp.zeros(2, dtype=dtype, requires_grad=True)


def test_new_methods_keep_the_dtype():
    x = cp.zeros(1, dtype=cp.float64)
    for y in (x.new_zeros(2), x.new_ones((2,)), x.new_full((2,), 3), x.new_tensor([1, 2])):
        assert y.dtype is cp.float64 and y.shape == (2,)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: cp.zeros(-1), RuntimeError, "zeros: .*negative dimension -1"),
        (lambda: cp.ones(2.5), TypeError, "ones: sizes must be integers, got 2.5"),
        (lambda: cp.tensor([[1], [2, 3]]), ValueError, "expected sequence of length 1 at dim 1"),
        (lambda: cp.tensor("1.5"), TypeError, "tensor: numbers wanted"),
        (lambda: cp.tensor([None]), TypeError, "tensor: numbers wanted"),
        (lambda: cp.tensor(np.zeros(2, complex)), TypeError, "can't convert np.ndarray of type"),
        (lambda: cp.zeros(2, dtype="float7"), TypeError, "'float7' is not an element type"),
        (lambda: cp.randint(3, 3, (2,)), RuntimeError, "'from' to be less than 'to'"),
        (lambda: cp.randperm(-1), RuntimeError, "n must be non-negative, got -1"),
        (lambda: cp.zeros(2, device="cuda"), RuntimeError, "computes on the CPU"),
        (lambda: cp.from_numpy([1.0]), TypeError, r"expected np.ndarray \(got list\)"),
    ],
)
def test_mistakes_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("default", [cp.float64, cp.float16])
def test_the_default_dtype_is_that_of_python_floats(default):
    cp.set_default_dtype(default)
    try:
        assert cp.get_default_dtype() is default
        for t in (cp.tensor(1.5), cp.zeros(2), cp.arange(2.0), cp.tensor(3) * 1.5):
            assert t.dtype is default
    finally:
        cp.set_default_dtype(cp.float32)


def test_the_default_dtype_is_a_floating_point_type():
    with pytest.raises(TypeError, match="only floating-point types"):
        cp.set_default_dtype(cp.int64)
