"""`x[...]`: reading, assigning and their gradients, against NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import clearprop as cp

SHAPE = (4, 3, 5)
A = np.arange(60.0).reshape(SHAPE)

BASIC = [
    0,
    -1,
    (1, 2, 3),
    slice(1, 3),
    slice(None, None, 2),
    slice(3, 1),
    slice(-2, None),
    slice(0, 99),
    (slice(None), 1),
    (..., 2),
    (0, ...),
    (1, ..., slice(1, 4, 2)),
    None,
    (slice(None), None, 1),
    (..., None),
    (),
    ...,
    (slice(1, 2), slice(0, 2), slice(2, 5)),
]
FANCY = [
    np.array([0, 2, 2, -1]),
    np.array([[0, 1], [3, 0]]),
    (slice(None), np.array([2, 0])),
    (np.array([0, 1]), np.array([2, 1])),
    (np.array([0, 1]), slice(1, 3), np.array([4, 0])),
    (slice(None), np.array([0, 1]), np.array([4, 0])),
    (..., np.array([[1], [2]])),
    (np.array([[0], [1]]), np.array([0, 1, 2])),
    (None, np.array([1, 3])),
    (1, np.array([0, 2])),
    A % 7 == 0,
    A[:, 0, 0] > 10,
    (slice(None), np.array([True, False, True])),
    (np.array([True, False, True, False]), ..., 2),
    np.zeros(SHAPE, bool),
    np.array([], int),
]


def ours(index):
    """The index with tensors in place of the arrays."""
    if isinstance(index, tuple):
        return tuple(map(ours, index))
    return cp.tensor(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", BASIC + FANCY, ids=repr)
def test_reading(index):
    x = cp.tensor(A)
    got = x[ours(index)]
    assert got.shape == A[index].shape
    np.testing.assert_array_equal(got.numpy(), A[index])


@pytest.mark.parametrize("index", BASIC + FANCY, ids=repr)
def test_assigning_a_number_and_a_tensor(index):
    for value in (7.0, np.arange(100.0, 100.0 + A[index].size).reshape(A[index].shape)):
        wanted = A.copy()
        wanted[index] = value
        x = cp.tensor(A)
        x[ours(index)] = value if isinstance(value, float) else cp.tensor(value)
        np.testing.assert_array_equal(x.numpy(), wanted)


@pytest.mark.parametrize("index", BASIC + FANCY, ids=repr)
def test_the_gradient_of_reading_counts_every_use(index):
    x = cp.tensor(A, requires_grad=True)
    y = x[ours(index)]
    weights = np.arange(1.0, y.numel() + 1).reshape(y.shape)
    (y * cp.tensor(weights)).sum().backward()
    places = np.arange(60).reshape(SHAPE)[index]
    wanted = np.bincount(places.ravel(), weights.ravel(), 60).reshape(SHAPE)
    np.testing.assert_array_equal(x.grad.numpy(), wanted)


DISTINCT = [i for i in BASIC + FANCY if len(set(A[i].ravel())) == A[i].size > 0]


@pytest.mark.parametrize("index", DISTINCT, ids=repr)
def test_the_gradient_of_assigning_goes_to_the_value_and_not_to_what_was_there(index):
    leaf = cp.tensor(A, requires_grad=True)
    value = cp.tensor(3.0, dtype=cp.float64, requires_grad=True)
    x = leaf * 1
    x[ours(index)] = value
    x.sum().backward()
    written = np.zeros(SHAPE, bool)
    written[index] = True
    np.testing.assert_array_equal(leaf.grad.numpy(), np.where(written, 0.0, 1.0))
    assert value.grad.item() == written.sum()


@pytest.mark.parametrize("index", BASIC, ids=repr)
def test_numbers_slices_and_none_give_views(index):
    x = cp.tensor(A)
    y = x[index]
    assert not y.numel() or np.shares_memory(y.numpy(), x.numpy())


@pytest.mark.parametrize("index", [i for i in FANCY if A[i].size], ids=repr)
def test_tensors_as_an_index_give_copies(index):
    x = cp.tensor(A)
    assert not np.shares_memory(x[ours(index)].numpy(), x.numpy())


def entries(n, kind):
    """One entry of an index for an axis of n elements: a slice, or the other kind."""
    bound = st.none() | st.integers(-n - 2, n + 2)
    other = {
        "number": st.integers(-n, n - 1),
        "array": st.lists(st.integers(-n, n - 1), min_size=2, max_size=2).map(np.array),
    }
    return st.builds(slice, bound, bound, st.none() | st.integers(1, 3)) | other[kind]


# Not numbers beside arrays: PyTorch and clearprop take the number first, NumPy broadcasts it.
INDEX = st.sampled_from(["number", "array"]).flatmap(
    lambda kind: st.tuples(*(entries(n, kind) for n in SHAPE))
)


@settings(max_examples=80, deadline=None)
@given(INDEX, st.integers(0, 3), st.integers(0, 3))
def test_any_mix_of_entries(index, length, new_axis):
    index = index[:length]
    index = (*index[:new_axis], None, *index[new_axis:]) if new_axis <= length else index
    x = cp.tensor(A, requires_grad=True)
    y = x[ours(index)]
    np.testing.assert_array_equal(y.detach().numpy(), A[index])
    y.sum().backward()
    wanted = np.bincount(np.arange(60).reshape(SHAPE)[index].ravel(), minlength=60)
    np.testing.assert_array_equal(x.grad.numpy().ravel(), wanted)
    z = cp.tensor(A)
    z[ours(index)] = -1.0
    expected = A.copy()
    expected[index] = -1
    np.testing.assert_array_equal(z.numpy(), expected)


@pytest.mark.parametrize("make", [list, np.array, cp.tensor])
def test_lists_arrays_and_tensors_mean_the_same(make):
    assert cp.arange(5)[make([3, 0])].tolist() == [3, 0]
    assert cp.arange(3)[make([True, False, True])].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (4, IndexError, "index 4 is out of bounds for dimension 0 with size 4"),
        ((0, -4), IndexError, "index -4 is out of bounds for dimension 1 with size 3"),
        ((0, 0, 0, 0), IndexError, "too many indices for tensor of dimension 3"),
        ((..., ...), IndexError, "only one ellipsis"),
        (slice(None, None, -1), ValueError, "step must be greater than zero"),
        ("a", IndexError, "valid indices"),
        (1.5, IndexError, "valid indices"),
        (cp.tensor([4]), IndexError, "out of bounds for dimension with size 4"),
        (cp.tensor([1.0]), IndexError, "tensors used as indices must be long"),
        (cp.tensor([True] * 3), IndexError, "shape of the mask does not match"),
        ((cp.tensor([0, 1]), cp.tensor([0, 1, 2])), (RuntimeError, IndexError), "index"),
    ],
    ids=repr,
)
def test_mistakes_are_named(index, error, message):
    x = cp.tensor(A)
    with pytest.raises(error, match=message):
        x[index]
    with pytest.raises(error, match=message):
        x[index] = 0.0


def test_a_value_that_does_not_fit_is_refused():
    x = cp.zeros(4, 3)
    with pytest.raises(RuntimeError, match="setitem"):
        x[1:3] = cp.ones(3, 3)
    with pytest.raises(RuntimeError, match="setitem"):
        x[cp.tensor([0, 1])] = cp.ones(3, 3)
    assert x.sum().item() == 0


def test_gather_and_scatter_add_are_each_others_gradient():
    x = cp.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    index = cp.tensor([[1, 1], [0, 0]])
    y = cp.gather(x, 1, index)
    assert y.tolist() == [[2, 2], [3, 3]]
    y.sum().backward()
    assert x.grad.tolist() == [[0, 2], [2, 0]]
    assert cp.scatter_add(cp.zeros(2, 2), 1, index, cp.ones(2, 2)).tolist() == [[0, 2], [2, 0]]


def test_index_add_sums_repeated_rows():
    out = cp.index_add(cp.zeros(3, 2), 0, cp.tensor([0, 2, 0]), cp.ones(3, 2), alpha=2)
    assert out.tolist() == [[4, 4], [0, 0], [2, 2]]


def test_nonzero_and_masked_select():
    x = cp.tensor([[0, 5], [6, 0]])
    assert cp.nonzero(x).tolist() == [[0, 1], [1, 0]]
    assert [t.tolist() for t in cp.nonzero(x, as_tuple=True)] == [[0, 1], [1, 0]]
    assert cp.masked_select(x, x > 0).tolist() == [5, 6]
