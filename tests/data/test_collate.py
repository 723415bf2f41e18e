"""From rows to a batch."""

from collections import OrderedDict, namedtuple

import numpy as np
import pytest

import clearprop as cp
from clearprop.data import DataLoader, default_collate, default_convert

Point = namedtuple("Point", ["x", "y"])


@pytest.mark.parametrize(
    ("rows", "dtype", "values"),
    [
        ([1, 2], cp.int64, [1, 2]),
        ([True, False], cp.bool, [True, False]),
        ([0.5, 1.5], cp.float64, [0.5, 1.5]),
        ([1.5, 2], cp.float64, [1.5, 2.0]),
        ([1, 2.5], cp.float32, [1.0, 2.5]),
        ([True, 2], cp.int64, [1, 2]),
        ([np.float32(0.5)], cp.float32, [0.5]),
        ([np.float64(0.5)], cp.float64, [0.5]),
        ([np.int16(3)], cp.int16, [3]),
        ([np.bool_(True)], cp.bool, [True]),
        ([np.zeros(2, np.float32), np.ones(2, np.float32)], cp.float32, [[0, 0], [1, 1]]),
        ([cp.tensor([1.0]), cp.tensor([2.0])], cp.float32, [[1.0], [2.0]]),
        ([cp.tensor(1), cp.tensor(2)], cp.int64, [1, 2]),
    ],
)
def test_collate_gives_pytorchs_dtype(rows, dtype, values):
    batch = default_collate(rows)
    assert batch.dtype == dtype
    assert batch.tolist() == values


def test_collate_leaves_text():
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([b"a"]) == [b"a"]


def test_collate_tuples_to_a_list_of_batches():
    x, y = default_collate([(1, "a"), (2, "b")])
    assert x.tolist() == [1, 2]
    assert y == ["a", "b"]


def test_collate_lists_keep_their_type():
    class Row(list):
        pass

    batch = default_collate([Row([1, 2]), Row([3, 4])])
    assert type(batch) is Row
    assert [t.tolist() for t in batch] == [[1, 3], [2, 4]]


def test_collate_mappings_keep_their_type():
    batch = default_collate([OrderedDict(x=1, y=0.5), OrderedDict(x=2, y=1.5)])
    assert type(batch) is OrderedDict
    assert {k: v.tolist() for k, v in batch.items()} == {"x": [1, 2], "y": [0.5, 1.5]}


def test_collate_named_tuples_stay_named():
    batch = default_collate([Point(1, 2), Point(3, 4)])
    assert batch.x.tolist() == [1, 3]
    assert batch.y.tolist() == [2, 4]


def test_collate_ranges_become_lists():
    assert [t.tolist() for t in default_collate([range(2), range(2)])] == [[0, 0], [1, 1]]


def test_collate_is_nested():
    batch = default_collate([{"a": (1, [2])}, {"a": (3, [4])}])
    assert batch["a"][1][0].tolist() == [2, 4]


def test_collate_keeps_the_gradient():
    w = cp.tensor([1.0, 2.0], requires_grad=True)
    default_collate([w * 2, w * 3]).sum().backward()
    assert w.grad.tolist() == [5.0, 5.0]


def test_collate_of_unequal_tensors_raises():
    with pytest.raises(
        RuntimeError, match=r"stack expects each tensor to be equal size.*\[2\].*\[3\] at entry 1"
    ):
        default_collate([cp.tensor([1.0, 2.0]), cp.tensor([1.0, 2.0, 3.0])])


def test_collate_of_unequal_rows_raises():
    with pytest.raises(RuntimeError, match="each element in list of batch should be of equal size"):
        default_collate([(1,), (1, 2)])


@pytest.mark.parametrize("row", [None, object(), {1, 2}, np.array(["a"]), np.array([None])])
def test_collate_of_something_else_raises(row):
    with pytest.raises(
        TypeError, match=r"default_collate: batch must contain tensors.*collate_fn="
    ):
        default_collate([row])


def test_convert_makes_tensors_of_arrays_only():
    a, n, s, p = default_convert((np.zeros(2), 1, "text", Point(np.ones(1), None)))
    assert a.dtype == cp.float64
    assert (n, s, p.y) == (1, "text", None)
    assert p.x.tolist() == [1.0]


def test_loader_without_batches_converts_rows():
    x, y = next(iter(DataLoader([(np.zeros(2), 7)], batch_size=None)))
    assert x.tolist() == [0.0, 0.0]
    assert y == 7
