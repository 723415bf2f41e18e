"""From a table to tensors: what is learnt from the training rows, and what new rows may hold."""

import math

import numpy as np
import pandas as pd
import pytest

import clearprop as cp
from clearprop.data import TablePreprocessor, decide_task, read_table
from clearprop.errors import DataError


def column(prep, frame, name):
    return prep.transform(frame).numpy()[:, prep.feature_names.index(name)]


# ---------------------------------------------------------------------- the task
@pytest.mark.parametrize(
    ("values", "task", "reason"),
    [
        ([0.5, 1.0, 2.0], "regression", "not whole"),
        (["a", "b"], "classification", "text with 2 different"),
        ([True, False], "classification", "true or false"),
        ([0, 1, 1], "classification", "2 different values in 3 rows"),
        ([0.0, 1.0, 0.0], "classification", "2 different values"),
        (list(range(3)) * 10, "classification", "3 different values in 30 rows"),
        (list(range(3)) * 9, "regression", "only 27 rows"),
        (list(range(21)) * 20, "regression", "more than 20 classes"),
        (pd.Categorical([1, 2, 1]), "classification", "2 different"),
    ],
)
def test_the_task_is_decided_and_said(values, task, reason):
    got, why = decide_task(pd.Series(values, name="y"))
    assert got == task
    assert "the target 'y'" in why
    assert reason in why


def test_dates_are_no_target():
    with pytest.raises(DataError, match="holds dates"):
        decide_task(pd.Series(pd.to_datetime(["2024-01-01"]), name="y"))


def test_the_task_may_be_asked_for():
    frame = pd.DataFrame({"x": [1.0, 2.0, 4.0], "y": [0, 1, 1]})
    prep = TablePreprocessor("y", task="regression").fit(frame)
    assert (prep.task, prep.n_outputs) == ("regression", 1)
    assert "asked for" in prep.reason


def test_regression_of_text_raises():
    frame = pd.DataFrame({"x": [1.0, 2.0], "y": ["a", "b"]})
    with pytest.raises(DataError, match="row 1: the target 'y' holds 'a', wanted a number"):
        TablePreprocessor("y", task="regression").fit(frame)


# ---------------------------------------------------------------------- columns
def test_numbers_are_standardised_and_the_median_fills(homes):
    prep = TablePreprocessor("price").fit(frame := homes())
    x = column(prep, frame, "area")
    assert abs(x.mean()) < 1e-6
    assert abs(x.std() - 1) < 1e-6
    median = np.nanmedian(frame["area"])
    filled = frame["area"].fillna(median)
    assert math.isclose(x[3], (median - filled.mean()) / filled.std(ddof=0), rel_tol=1e-6)
    assert column(prep, frame, "area is missing").tolist() == [i == 3 for i in range(40)]
    assert "rooms is missing" not in prep.feature_names


def test_text_is_one_hot_with_missing_as_its_own(homes):
    prep = TablePreprocessor("price").fit(frame := homes())
    names = [n for n in prep.feature_names if n.startswith("town")]
    assert names == ["town=Bonn", "town=Köln", "town=Ulm", "town=(missing)"]
    one_hot = np.stack([column(prep, frame, n) for n in names])
    assert (one_hot.sum(axis=0) == 1).all()
    assert one_hot[3, 5] == 1


def test_booleans_and_dates_become_numbers(homes):
    prep = TablePreprocessor("price").fit(frame := homes())
    assert len(np.unique(column(prep, frame, "lift"))) == 2
    days = column(prep, frame, "built in days")
    assert np.allclose(np.diff(days), np.diff(days)[0], rtol=1e-3)
    assert "built sin of week" in prep.feature_names
    assert "built sin of day" not in prep.feature_names


def test_times_of_day_have_a_phase():
    stamps = pd.to_datetime(["2024-01-01 00:00", "2024-01-01 06:00", "2024-01-01 12:00", None])
    frame = pd.DataFrame({"t": stamps, "y": [0.5, 1.0, 2.0, 3.0]})
    prep = TablePreprocessor("y").fit(frame)
    wave = column(prep, frame, "t sin of day")
    assert wave[1] > 0
    assert wave[0] < wave[1]
    assert column(prep, frame, "t is missing").tolist() == [0, 0, 0, 1]


def test_useless_columns_are_dropped_with_a_reason(homes):
    prep = TablePreprocessor("price").fit(homes())
    assert set(prep.dropped) == {"id", "same", "note"}
    assert "identifier" in prep.dropped["id"]
    assert prep.dropped["same"] == "constant: every value is 1"
    assert "40 different values in 40 rows" in prep.dropped["note"]


def test_empty_and_constant_columns_of_each_kind_are_dropped():
    frame = pd.DataFrame(
        {
            "x": [1.0, 2.0],
            "none": [None, None],
            "day": pd.to_datetime(["2024-01-01"] * 2),
            "no day": pd.to_datetime([None, None]),
            "text": ["a", "a"],
            "tiny": [1e9, 1e9 + 1e-6],
            "y": [1.5, 2.5],
        }
    )
    prep = TablePreprocessor("y").fit(frame)
    assert prep.columns == ("x",)
    assert prep.dropped["none"] == prep.dropped["no day"] == "every value is missing"
    assert prep.dropped["text"] == "constant: every value is 'a'"
    assert prep.dropped["day"].startswith("constant")


def test_a_column_of_nothing_but_the_row_number_is_kept_if_it_does_not_say_it_is_an_id():
    frame = pd.DataFrame({"x": [1, 2, 3, 4], "y": [2.5, 4, 6, 8]})
    assert TablePreprocessor("y").fit(frame).columns == ("x",)


def test_keep_keeps_what_would_be_dropped(homes):
    prep = TablePreprocessor("price", keep=["id"]).fit(homes())
    assert "id" in prep.columns


def test_many_categories_share_one_column():
    codes = np.repeat(np.arange(1, 101), np.arange(100, 0, -1))  # c001 100 times ... c100 once
    frame = pd.DataFrame({"code": [f"c{c:03d}" for c in codes], "y": np.sqrt(codes)})
    prep = TablePreprocessor("y", max_categories=10).fit(frame)
    assert prep.feature_names == (*[f"code=c{i:03d}" for i in range(1, 11)], "code=(other)")
    rare = column(prep, pd.DataFrame({"code": ["c090", "new", "c001"]}), "code=(other)")
    assert rare.tolist() == [1, 1, 0]


def test_categories_of_one_or_two_of_many_rows_share_one_column():
    frame = pd.DataFrame({"c": ["a"] * 150 + ["b"] * 150 + ["z"], "y": np.arange(301) / 7})
    prep = TablePreprocessor("y").fit(frame)
    assert prep.feature_names == ("c=a", "c=b", "c=(other)")


def test_numbers_declared_categories():
    frame = pd.DataFrame({"plz": [53111, 89073, 53111, 50667], "y": [0.5, 1.5, 2.5, 3.5]})
    prep = TablePreprocessor("y", categorical=["plz"]).fit(frame)
    assert prep.feature_names == ("plz=50667", "plz=53111", "plz=89073")
    new = pd.DataFrame({"plz": [89073.0]})  # a float, as a column with empty cells becomes
    assert prep.transform(new).tolist() == [[0, 0, 1]]


def test_only_training_rows_are_looked_at(homes):
    frame = homes()
    prep = TablePreprocessor("price").fit(frame.iloc[:20])
    before = prep.to_json()
    prep.transform(frame.iloc[20:])
    assert prep.to_json() == before


def test_names_from_data_are_kept_as_they_are():
    frame = pd.DataFrame({"<script>": ["<b>", "</td>", "<b>"], "y": [1.5, 2.5, 3.5]})
    prep = TablePreprocessor.from_json(TablePreprocessor("y").fit(frame).to_json())
    assert prep.feature_names == ("<script>=</td>", "<script>=<b>")


def test_columns_without_text_names_are_accepted():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(5, 3)))
    prep = TablePreprocessor(2).fit(frame)
    assert prep.columns == ("0", "1")
    assert prep.transform(frame).shape == (5, 2)


# ---------------------------------------------------------------------- the target
def test_regression_targets_are_standardised_and_come_back(homes):
    prep = TablePreprocessor("price").fit(frame := homes())
    y = prep.transform_target(frame)
    assert (y.shape, y.dtype) == ((40, 1), cp.float32)
    assert abs(y.numpy().std() - 1) < 1e-6
    assert np.allclose(prep.inverse_target(y), frame["price"], rtol=1e-6)


def test_classes_are_numbered_in_order():
    frame = pd.DataFrame({"x": np.arange(40) / 3, "y": [10, 9, 2, 10] * 10})
    prep = TablePreprocessor("y").fit(frame)
    assert prep.classes == ("2", "9", "10")
    assert prep.n_outputs == 3
    y = prep.transform_target(frame)
    assert (y.tolist()[:4], y.dtype) == ([2, 1, 0, 2], cp.int64)
    assert prep.inverse_target(y).tolist()[:3] == ["10", "9", "2"]


def test_inverse_of_class_scores_says_to_take_the_largest():
    prep = TablePreprocessor("y").fit(pd.DataFrame({"x": [0.5, 1.5], "y": ["a", "b"]}))
    with pytest.raises(TypeError, match="argmax"):
        prep.inverse_target(np.zeros((2, 2), dtype=np.float32))


def test_boolean_classes():
    frame = pd.DataFrame({"x": [0.5, 1.5, 2.5], "y": [True, False, True]})
    prep = TablePreprocessor("y").fit(frame)
    assert prep.classes == ("False", "True")
    assert prep.transform_target(frame).tolist() == [1, 0, 1]


def test_a_class_that_training_did_not_have_is_named(tmp_path):
    (tmp_path / "new.csv").write_text("x,y\n1,cat\n2,dgo\n")
    prep = TablePreprocessor("y").fit(pd.DataFrame({"x": [0.5, 1.5], "y": ["cat", "dog"]}))
    with pytest.raises(DataError, match=r"new.csv: line 3: .*class 'dgo'.*did you mean 'dog'") as e:
        prep.transform_target(read_table(tmp_path / "new.csv"))
    assert e.value.row == 3


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ([1.5, 1.5, 1.5], "is 1.5 in every row"),
        (["a", "a", "a"], "is 'a' in every row"),
        ([1.5, None, 2.5], "row 2: the target 'y' is empty"),
        ([1.5, np.inf, 2.5], "row 2: the target 'y' is not finite"),
        ([f"t{i}" for i in range(30)], "30 different values in 30 rows"),
    ],
)
def test_targets_that_cannot_be_learnt(y, words):
    frame = pd.DataFrame({"x": np.arange(len(y)) / 3, "y": y})
    with pytest.raises(DataError, match=words):
        TablePreprocessor("y").fit(frame)


# ---------------------------------------------------------------------- mistakes
def test_a_target_that_is_not_there(homes):
    with pytest.raises(DataError, match=r"fit: there is no column 'prize'.*did you mean 'price'"):
        TablePreprocessor("prize").fit(homes())


@pytest.mark.parametrize("option", ["categorical", "keep"])
def test_an_option_that_names_no_column(homes, option):
    with pytest.raises(DataError, match="no column 'towns'; did you mean 'town'"):
        TablePreprocessor("price", **{option: ["towns"]}).fit(homes())


def test_nothing_to_predict_from():
    with pytest.raises(DataError, match="the table has no other column"):
        TablePreprocessor("y").fit(pd.DataFrame({"y": [1.5, 2.5]}))
    with pytest.raises(DataError, match=r"no column is left.*'x': constant"):
        TablePreprocessor("y").fit(pd.DataFrame({"x": [1, 1], "y": [1.5, 2.5]}))


def test_no_rows():
    with pytest.raises(DataError, match="no rows"):
        TablePreprocessor("y").fit(pd.DataFrame({"x": [], "y": []}))


def test_not_fitted(homes):
    with pytest.raises(ValueError, match="call fit"):
        TablePreprocessor("y").transform(homes())


@pytest.mark.parametrize("option", [{"task": "both"}, {"max_categories": 0}])
def test_wrong_options(option):
    with pytest.raises(ValueError, match=next(iter(option))):
        TablePreprocessor("y", **option)


def test_not_a_table():
    with pytest.raises(TypeError, match="got a ndarray, wanted a pandas DataFrame"):
        TablePreprocessor("y").fit(np.zeros((2, 2)))


def test_duplicate_columns():
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "a", "y"])
    with pytest.raises(DataError, match="duplicate column names: 'a'"):
        TablePreprocessor("y").fit(frame)


def test_a_missing_column_is_named(homes):
    prep = TablePreprocessor("price").fit(homes())
    with pytest.raises(DataError, match=r"there is no column 'area'; did you mean 'Area'"):
        prep.transform(homes().rename(columns={"area": "Area"}))


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"area": -np.inf}, "row 3: column 'area' is infinite"),
        ({"area": "big"}, "row 1: column 'area' held numbers in training, here it holds '"),
        ({"area": 1e300}, "row 3: column 'area' is 1e\\+300, so far from the training rows"),
        ({"town": "Boon"}, "row 3: column 'town' has the value 'Boon'.*did you mean 'Bonn'"),
        ({"built": "once"}, "row 1: column 'built' held dates in training"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(homes, cell, words):
    frame = homes()
    prep = TablePreprocessor("price").fit(frame)
    ((name, value),) = cell.items()
    values = frame[name].astype(object)
    values[2] = value
    # Text makes a column of numbers or dates one of text, as in a file.
    whole = values.astype(str) if isinstance(value, str) and name != "town" else values
    new = frame.assign(
        **{name: whole.astype(float) if name == "area" and whole is values else whole}
    )
    with pytest.raises(DataError, match=words):
        prep.transform(new)


def test_an_unknown_category_may_be_ignored():
    prep = TablePreprocessor("y").fit(pd.DataFrame({"c": ["a", "b"], "y": [0.5, 1.5]}))
    new = pd.DataFrame({"c": ["b", "new", None]})
    assert prep.transform(new, unknown="ignore").tolist() == [[0, 1], [0, 0], [0, 0]]
    with pytest.raises(DataError, match="row 2: column 'c' has the value 'new'"):
        prep.transform(new)
    with pytest.raises(DataError, match="row 1: column 'c' is empty, and no training row was"):
        prep.transform(new.iloc[2:])
    with pytest.raises(ValueError, match="unknown is 'zero'"):
        prep.transform(new, unknown="zero")


def test_a_number_that_is_new_and_empty_takes_the_median():
    prep = TablePreprocessor("y").fit(pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": [0.5, 1.5, 2.5]}))
    assert prep.transform(pd.DataFrame({"x": [None, 2.0]})).tolist() == [[0.0], [0.0]]


def test_no_rows_to_transform(homes):
    prep = TablePreprocessor("price").fit(homes())
    assert prep.transform(homes().iloc[:0]).shape == (0, len(prep.feature_names))


def test_row_is_the_line_of_the_file(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text('town,area\n"Bonn",1\n\n"Paris",2\n')
    frame = pd.DataFrame({"town": ["Bonn", "Ulm"], "area": [1, 2], "y": [0.5, 1.5]})
    prep = TablePreprocessor("y").fit(frame)
    with pytest.raises(DataError, match=r"new.csv: line 4: column 'town' has the value 'Paris'"):
        prep.transform(read_table(path, categorical=prep.categorical_columns))


def test_line_and_file_are_known_after_a_split(tmp_path):
    path = tmp_path / "new.csv"
    path.write_text("x,y\n1,0.5\n2,1.5\ninf,2.5\n")
    rows = read_table(path).iloc[[2, 0]]
    with pytest.raises(DataError, match=r"new.csv: line 4: column 'x' is infinite") as caught:
        TablePreprocessor("y").fit(rows)
    assert (caught.value.row, caught.value.path) == (4, str(path))
