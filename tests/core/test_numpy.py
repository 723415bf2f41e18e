"""Tensors beside NumPy arrays, DLPack, pickle and copies."""

import copy
import pickle

import numpy as np
import pytest

import clearprop as cp

NUMPY_DTYPES = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "?"]


@pytest.mark.parametrize("code", NUMPY_DTYPES)
def test_from_numpy_shares_memory_and_keeps_the_dtype(code):
    a = np.zeros((2, 3), code)
    t = cp.from_numpy(a)
    assert t.dtype.np == a.dtype
    assert np.shares_memory(t.numpy(), a)
    a[1, 2] = 1
    assert t[1, 2].item() == 1
    t[0, 0] = 1
    assert a[0, 0] == 1


@pytest.mark.parametrize(
    "view", [lambda a: a.T, lambda a: a[::2], lambda a: a[:, ::-1], lambda a: a[1]]
)
def test_from_numpy_takes_any_strides(view):
    a = view(np.arange(12.0).reshape(3, 4))
    t = cp.from_numpy(a)
    assert np.shares_memory(t.numpy(), a)
    np.testing.assert_array_equal((t * 2).numpy(), a * 2)


def test_a_read_only_array_is_copied():
    a = np.arange(3.0)
    a.flags.writeable = False
    t = cp.from_numpy(a)
    t += 1
    assert a.tolist() == [0, 1, 2] and t.tolist() == [1, 2, 3]


@pytest.mark.parametrize("code", ["c16", "O", "U3", ">f4", "u2"])
def test_other_element_types_are_refused(code):
    with pytest.raises(TypeError, match=r"can't convert np.ndarray of type"):
        cp.from_numpy(np.zeros(2, code))


def test_as_tensor_shares_where_it_can():
    a = np.zeros(2)
    assert np.shares_memory(cp.as_tensor(a).numpy(), a)
    assert not np.shares_memory(cp.as_tensor(a, dtype=cp.float32).numpy(), a)
    t = cp.zeros(2)
    assert cp.as_tensor(t) is t
    assert cp.as_tensor([1, 2]).dtype is cp.int64


def test_numpy_of_a_tensor_with_a_gradient_says_detach():
    x = cp.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"Use tensor.detach\(\).numpy\(\) instead"):
        x.numpy()
    with pytest.raises(RuntimeError, match=r"Use tensor.detach\(\).numpy\(\) instead"):
        np.asarray(x)
    assert np.shares_memory(x.detach().numpy(), x.numpy(force=True))


def test_asarray_of_a_tensor():
    t = cp.tensor([1.0, 2.0])
    assert np.shares_memory(np.asarray(t), t.numpy())
    assert np.asarray(t, dtype=np.int16).dtype == np.int16
    assert not np.shares_memory(np.array(t), t.numpy())


LEFT = np.array([4.0, 9.0])
OPERATORS = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
    "**": lambda a, b: a**b,
    "==": lambda a, b: a == b,
    "<": lambda a, b: a < b,
    ">=": lambda a, b: a >= b,
}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.parametrize("swapped", [False, True])
def test_an_array_on_either_side_gives_a_tensor(name, swapped):
    f = OPERATORS[name]
    right = np.array([3.0, 2.0])
    out = f(cp.from_numpy(LEFT), right) if swapped else f(LEFT, cp.from_numpy(right))
    assert isinstance(out, cp.Tensor)
    np.testing.assert_array_equal(out.numpy(), f(LEFT, right))


def test_a_product_of_an_array_and_a_tensor_gives_a_tensor():
    out = LEFT @ cp.tensor([3.0, 2.0], dtype=cp.float64)
    assert isinstance(out, cp.Tensor)
    assert out.item() == 30


def test_an_array_times_a_tensor_keeps_the_gradient():
    x = cp.tensor([1.0, 2.0], dtype=cp.float64, requires_grad=True)
    (LEFT * x).sum().backward()
    assert x.grad.tolist() == LEFT.tolist()


@pytest.mark.parametrize(
    ("f", "instead"),
    [(np.sin, "sin"), (np.exp, "exp"), (np.absolute, "abs"), (np.arctan, "atan")],
)
def test_a_numpy_function_of_a_tensor_says_what_to_use(f, instead):
    text = rf"would drop its gradient: use clearprop\.{instead}\(x\).*detach"
    with pytest.raises(TypeError, match=text):
        f(cp.ones(2))


def test_a_tensor_indexes_an_array_and_counts():
    assert np.arange(5)[cp.tensor(3)] == 3
    assert list(range(5))[cp.tensor(2)] == 2
    with pytest.raises(TypeError, match="only integer tensors of a single element"):
        [1, 2][cp.tensor(1.0)]


@pytest.mark.parametrize(("data", "kind"), [(1.5, float), (3, int), (True, bool)])
def test_item_and_tolist_give_python_numbers(data, kind):
    assert type(cp.tensor(data).item()) is kind
    assert type(cp.tensor([[data]]).tolist()[0][0]) is kind


def test_item_of_many_is_refused():
    with pytest.raises(RuntimeError, match="with 2 elements cannot be converted to Scalar"):
        cp.ones(2).item()


def test_dlpack_is_zero_copy_both_ways():
    a = np.arange(3.0)
    t = cp.from_dlpack(a)
    t[0] = 7
    assert a[0] == 7
    assert np.shares_memory(np.from_dlpack(t), a)
    assert t.__dlpack_device__() == (1, 0)


def test_dlpack_of_a_tensor_with_a_gradient_is_refused():
    with pytest.raises(BufferError, match="detach"):
        np.from_dlpack(cp.ones(1, requires_grad=True))


COPIES = [
    pytest.param(lambda t: pickle.loads(pickle.dumps(t)), id="pickle"),
    pytest.param(copy.deepcopy, id="deepcopy"),
]


@pytest.mark.parametrize("twin", COPIES)
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.parametrize("cls", [cp.Tensor, cp.nn.Parameter])
def test_a_copy_has_the_values_and_memory_of_its_own(twin, requires_grad, cls):
    t = cp.tensor([1.0, 2.0], requires_grad=requires_grad)
    t = cls(t.detach(), requires_grad=requires_grad) if cls is cp.nn.Parameter else t
    other = twin(t)
    assert type(other) is cls and other.requires_grad is requires_grad and other.is_leaf
    other.detach().zero_()
    assert t.tolist() == [1, 2] and other.tolist() == [0, 0]


@pytest.mark.parametrize("code", NUMPY_DTYPES)
def test_pickle_keeps_every_dtype(code):
    t = cp.from_numpy(np.ones((2, 0, 1), code))
    other = pickle.loads(pickle.dumps(t))
    assert other.dtype is t.dtype and other.shape == (2, 0, 1)


def test_deepcopy_copies_the_gradient_and_what_is_shared_once():
    x = cp.ones(2, requires_grad=True)
    (x * 3).sum().backward()
    first, second = copy.deepcopy([x, x])
    assert first is second
    assert first.grad.tolist() == [3, 3] and first.grad is not x.grad


@pytest.mark.parametrize("twin", COPIES)
def test_only_leaves_can_be_copied(twin):
    y = cp.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match=r"leaves.*Use x.detach\(\)"):
        twin(y)
