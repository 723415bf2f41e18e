"""Map-style data sets, and splitting them at random."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.data import ConcatDataset, Dataset, Subset, TensorDataset, random_split
from clearprop.errors import ClearpropError


def test_tensor_dataset_row_is_a_tuple_of_rows():
    rows = TensorDataset(cp.tensor([[1.0, 2.0], [3.0, 4.0]]), cp.tensor([5, 6]))
    x, y = rows[1]
    assert x.tolist() == [3.0, 4.0]
    assert y.item() == 6
    assert len(rows) == 2


@pytest.mark.parametrize("error", [AssertionError, ValueError, ClearpropError])
def test_tensor_dataset_of_different_lengths_raises(error):
    with pytest.raises(error, match=r"Size mismatch between tensors.*2, 3 rows"):
        TensorDataset(cp.tensor([1.0, 2.0]), cp.tensor([1, 2, 3]))


def test_tensor_dataset_of_a_scalar_raises():
    with pytest.raises(IndexError, match="argument 1 has no dimensions"):
        TensorDataset(cp.tensor([1.0]), cp.tensor(1.0))


def test_tensor_dataset_of_an_array_says_how_to_convert():
    with pytest.raises(TypeError, match="argument 0 is a ndarray, wanted a Tensor"):
        TensorDataset(np.zeros(3))


def test_tensor_dataset_without_tensors_has_no_length():
    with pytest.raises(TypeError, match="no tensors"):
        len(TensorDataset())


def test_subset_counts_its_own_rows():
    part = Subset(Subset("abcdef", [5, 3, 1]), [2, 0])
    assert [part[i] for i in range(len(part))] == ["b", "f"]


def test_subset_of_tensors_takes_a_list_of_rows():
    part = Subset(TensorDataset(cp.tensor([10, 11, 12, 13])), [3, 1, 0])
    assert part[[0, 2]][0].tolist() == [13, 10]


@pytest.mark.parametrize(
    ("index", "want"), [(0, "a"), (2, "c"), (3, "x"), (4, "y"), (-1, "y"), (-5, "a")]
)
def test_concat_dataset_finds_the_part(index, want):
    assert ConcatDataset(["abc", "", "xy"])[index] == want


@pytest.mark.parametrize(("index", "error"), [(5, IndexError), (-6, ValueError)])
def test_concat_dataset_out_of_range_raises(index, error):
    with pytest.raises(error, match=str(index) + ".*5 rows"):
        ConcatDataset(["abc", "xy"])[index]


def test_concat_dataset_of_nothing_raises():
    with pytest.raises(AssertionError, match="should not be an empty iterable"):
        ConcatDataset([])


def test_datasets_are_added():
    class Three(Dataset):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return i

    joined = Three() + Three()
    assert [joined[i] for i in range(6)] == [0, 1, 2, 0, 1, 2]


def test_a_dataset_without_getitem_says_what_to_define():
    with pytest.raises(NotImplementedError, match="Dataset: define __getitem__"):
        Dataset()[0]


@pytest.mark.parametrize(
    ("lengths", "want"),
    [([7, 3], [7, 3]), ([0.5, 0.5], [5, 5]), ([0.33, 0.33, 0.34], [4, 3, 3]), ([1.0], [10])],
)
def test_random_split_lengths(lengths, want):
    parts = random_split(range(10), lengths, generator=cp.Generator().manual_seed(1))
    assert [len(p) for p in parts] == want
    assert sorted(i for p in parts for i in p.indices) == list(range(10))


def test_random_split_is_fixed_by_its_generator():
    a = random_split(range(100), [50, 50], generator=cp.Generator().manual_seed(3))
    b = random_split(range(100), [50, 50], generator=cp.Generator().manual_seed(3))
    c = random_split(range(100), [50, 50], generator=cp.Generator().manual_seed(4))
    assert a[0].indices == b[0].indices != c[0].indices


def test_random_split_that_does_not_add_up_raises():
    with pytest.raises(ValueError, match=r"Sum of input lengths.*1 \+ 2 = 3.*4 rows"):
        random_split(range(4), [1, 2])


def test_random_split_with_a_negative_fraction_raises():
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        random_split(range(4), [-0.5, 1.5])


def test_random_split_warns_of_an_empty_part():
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        parts = random_split(range(2), [0.9, 0.1], generator=cp.Generator().manual_seed(0))
    assert [len(p) for p in parts] == [2, 0]
