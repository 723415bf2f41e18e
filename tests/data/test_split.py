"""Training, validation and test rows."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.data import stratified_split
from clearprop.errors import DataError


def check_parts(parts, n):
    rows = np.concatenate([parts.train, parts.validation, parts.test])
    assert np.array_equal(np.sort(rows), np.arange(n))


def test_each_part_has_its_share_of_each_class():
    y = np.repeat([0, 1, 2], [500, 300, 200])
    parts = stratified_split(y, test=0.2, validation=0.1, seed=4)
    check_parts(parts, 1000)
    assert np.bincount(y[parts.test]).tolist() == [100, 60, 40]
    assert np.bincount(y[parts.validation]).tolist() == [50, 30, 20]
    assert "share of each class" in parts.reason


def test_a_seed_fixes_the_rows():
    y = np.arange(100) % 4
    a, b, c = (stratified_split(y, seed=s) for s in (1, 1, 2))
    assert np.array_equal(a.test, b.test)
    assert not np.array_equal(a.test, c.test)


def test_test_rows_do_not_depend_on_validation():
    y = np.array([0] * 60 + [1] * 37 + [2] * 2 + [3])
    a, b = stratified_split(y), stratified_split(y, validation=0.2)
    assert np.array_equal(a.test, b.test)


def test_a_class_of_one_row_trains():
    y = np.array(["a"] * 50 + ["b"] * 49 + ["c"])
    parts = stratified_split(y, validation=0.1)
    check_parts(parts, 100)
    assert 99 in parts.train
    assert "training only: c" in parts.reason


def test_real_numbers_are_split_at_random():
    y = cp.tensor(np.linspace(0, 1, 50, dtype=np.float32)[:, None])
    parts = stratified_split(y, test=0.3, validation=0.3)
    check_parts(parts, 50)
    assert (len(parts.test), len(parts.validation)) == (15, 15)
    assert parts.reason == "rows at random"


def test_nothing_may_be_set_aside():
    parts = stratified_split(np.zeros(5, dtype=int), test=0.0)
    assert parts.train.tolist() == list(range(5))
    assert len(parts.test) == len(parts.validation) == 0


def test_a_negative_seed_is_a_seed():
    assert len(stratified_split(np.arange(20) % 2, seed=-3).test) == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"test": 1.0}, "test is 1.0"),
        ({"test": -0.1}, "test is -0.1"),
        ({"validation": float("nan")}, "validation is nan"),
        ({"test": 0.5, "validation": 0.5}, "leave no rows"),
    ],
)
def test_wrong_shares_raise(options, words):
    with pytest.raises(ValueError, match=words):
        stratified_split(np.arange(10) % 2, **options)


def test_a_part_smaller_than_the_number_of_classes_raises():
    with pytest.raises(DataError, match="30 rows cannot give 3 test rows"):
        stratified_split(np.arange(30) % 10, test=0.1)


def test_labels_must_be_one_per_row():
    with pytest.raises(ValueError, match=r"shape \(3, 2\)"):
        stratified_split(np.zeros((3, 2)))
