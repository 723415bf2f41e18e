"""A preprocessor as JSON: every bit comes back, and what was changed is refused."""

import json

import numpy as np
import pytest

from clearprop.data import TablePreprocessor
from clearprop.errors import DataError


def test_json_gives_back_every_bit(homes):
    frame = homes()
    prep = TablePreprocessor("price").fit(frame)
    again = TablePreprocessor.from_json(prep.to_json())
    assert again.to_json() == prep.to_json()
    assert again.encoders == prep.encoders
    assert (again.target_mean, again.target_scale) == (prep.target_mean, prep.target_scale)
    assert np.array_equal(again.transform(frame).numpy(), prep.transform(frame).numpy())
    assert (again.task, again.reason, again.dropped) == (prep.task, prep.reason, prep.dropped)


def test_json_is_plain(homes):
    record = json.loads(TablePreprocessor("price").fit(homes()).to_json())
    assert [c["kind"] for c in record["columns"]] == [
        "numeric", "numeric", "numeric", "categorical", "date",
    ]  # fmt: skip


def change(path, value):
    def changed(record):
        *inner, last = path
        for key in inner:
            record = record[key]
        record[last] = value

    return changed


@pytest.mark.parametrize(
    "spoil",
    [
        change(["format"], "other"),
        change(["version"], 99),
        change(["task"], "guess"),
        change(["task"], None),
        change(["classes"], "abc"),
        change(["classes"], [1]),
        change(["target_mean"], "0"),
        change(["target_mean"], 10**400),
        change(["columns"], None),
        change(["columns", 0], 3),
        change(["columns", 0, "kind"], "pickle"),
        change(["columns", 0, "scale"], 0.0),
        change(["columns", 0, "indicator"], 1),
        change(["columns", 0, "more"], 1),
        change(["columns", 3, "categories"], ["a", "a"]),
        change(["columns", 4, "means"], [0.0]),
        change(["columns", 4, "scales"], [0.0] * 5),
        change(["dropped"], 5),
        lambda record: record.pop("target"),
    ],
)
def test_json_that_was_changed_raises(homes, spoil):
    record = json.loads(TablePreprocessor("price").fit(homes()).to_json())
    spoil(record)
    with pytest.raises(DataError, match="from_json: not a saved preprocessor: "):
        TablePreprocessor.from_json(json.dumps(record))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", '{"format": NaN}', "[" * 100_000])
def test_text_that_is_no_preprocessor_raises(text):
    with pytest.raises(DataError, match="from_json"):
        TablePreprocessor.from_json(text)


def test_nothing_is_written_before_fit():
    with pytest.raises(ValueError, match="to_json: call fit"):
        TablePreprocessor("y").to_json()
