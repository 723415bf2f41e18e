"""Real sets that come with scikit-learn."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.data import REAL_SETS, load_real
from clearprop.errors import DataError


@pytest.mark.parametrize(
    ("name", "rows", "features", "classes"),
    [
        ("digits", 1797, 64, 10),
        ("iris", 150, 4, 3),
        ("wine", 178, 13, 3),
        ("breast-cancer", 569, 30, 2),
        ("diabetes", 442, 10, 0),
    ],
)
def test_sets_have_what_they_say(name, rows, features, classes):
    s = load_real(name)
    assert (s.x.shape, s.x.dtype) == ((rows, features), cp.float32)
    assert len(s.feature_names) == features
    assert len(s.class_names) == classes
    if s.task == "classification":
        assert (s.y.shape, s.y.dtype) == ((rows,), cp.int64)
        assert np.array_equal(np.unique(s.y.numpy()), np.arange(classes))
    else:
        assert (s.y.shape, s.y.dtype) == ((rows, 1), cp.float32)
    assert s.description


def test_digits_are_pictures():
    s = load_real("digits")
    assert s.image_shape == (8, 8)
    assert (s.x.numpy().min(), s.x.numpy().max()) == (0, 16)


def test_diabetes_is_in_its_own_units():
    s = load_real("diabetes")
    assert s.x.numpy()[:, s.feature_names.index("age")].max() > 50


def test_an_unknown_name_is_corrected():
    with pytest.raises(DataError, match="no set 'digit'; did you mean 'digits'"):
        load_real("digit")


def test_housing_that_is_not_there_is_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    with pytest.raises(DataError, match="clearprop downloads nothing") as caught:
        load_real("california_housing")
    assert str(tmp_path) in str(caught.value)


def test_the_list_of_sets_is_complete():
    assert set(REAL_SETS) == {
        "digits", "iris", "wine", "breast_cancer", "diabetes", "california_housing",
    }  # fmt: skip
