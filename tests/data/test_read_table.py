"""CSV and Parquet files, whole and broken."""

import datetime
import decimal
import gzip
import re

import numpy as np
import pandas as pd
import pytest

from clearprop.data import read_table
from clearprop.errors import DataError


@pytest.fixture
def write(tmp_path):
    def written(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return written


def caught(path, **options):
    """The one clear error that a broken file gives."""
    with pytest.raises(DataError) as info:
        read_table(path, **options)
    error = info.value
    assert str(path) in str(error)
    assert str(error).startswith("read_table: ")
    assert "\n" not in str(error)
    assert str(error.path) == str(path)
    return error


# ---------------------------------------------------------------------- what a column becomes
def test_columns_get_the_type_of_their_values(write):
    frame = read_table(
        write(
            "n,x,b,day,moment,town,code\n"
            "1,0.5,true,2024-01-31,2024-01-31 12:30,Bonn,007\n"
            "2,,False,2024-02-01,2024-02-01T00:00:00,,12\n"
        ),
        categorical=["code"],
    )
    kinds = {name: frame[name].dtype.kind for name in ("n", "x", "b", "day", "moment")}
    assert kinds == {"n": "i", "x": "f", "b": "b", "day": "M", "moment": "M"}
    assert np.isnan(frame["x"].iloc[1])
    assert frame["b"].tolist() == [True, False]
    assert frame["town"].isna().tolist() == [False, True]
    assert frame["code"].tolist() == ["007", "12"]


def test_floats_are_read_to_the_last_digit(write):
    values = [0.1, 1 / 3, 2.2250738585072014e-308, 1.7976931348623157e308, 0.30000000000000004]
    frame = read_table(write("x\n" + "\n".join(map(repr, values)) + "\n"))
    # pandas 2 is off by a unit in the last place.
    assert frame["x"].tolist() == pytest.approx(values, rel=3e-16, abs=0)


def test_index_is_the_line(write):
    frame = read_table(write('a,b\n1,"two\nlines"\n\n3,x\n'))
    assert frame.index.name == "line"
    assert frame.index.tolist() == [2, 5]


def test_names_and_values_are_kept_as_they_are(write):
    frame = read_table(write('"<script>","a ""b""",=1+1\n<b>x</b>,"\'; DROP",é\n'))
    assert list(frame.columns) == ["<script>", 'a "b"', "=1+1"]
    assert frame.iloc[0].tolist() == ["<b>x</b>", "'; DROP", "é"]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_found(write, separator):
    frame = read_table(write(separator.join("ab") + "\n" + separator.join("12") + "\n"))
    assert frame.to_dict("list") == {"a": [1], "b": [2]}


def test_separator_may_be_given(write):
    frame = read_table(write("a,x;b\n1;2\n"), separator=";")
    assert frame.to_dict("list") == {"a,x": [1], "b": [2]}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_line_ends_byte_order_mark_and_blank_lines(write, end):
    text = "\ufeff" + end.join(["", "a,b", "1, 2", "", "3,4"])
    frame = read_table(write(text))
    assert frame.to_dict("list") == {"a": [1, 3], "b": [2, 4]}
    assert frame.index.tolist() == [3, 5]


def test_gzip_is_unpacked(write):
    assert read_table(write(gzip.compress(b"a,b\n1,2\n"), "t.csv.gz"))["b"].tolist() == [2]


def test_an_unnamed_column_gets_a_name(write):
    assert list(read_table(write(",a\n0,5\n1,6\n")).columns) == ["column 1", "a"]


def test_missing_marks_are_given(write):
    frame = read_table(write("a\n1\n?\n3\n"), missing=["?"])
    assert frame["a"].isna().tolist() == [False, True, False]


def test_ignored_columns_are_left_out(write):
    assert list(read_table(write("a,b\n1,2\n"), ignore=["a"]).columns) == ["b"]


def test_an_empty_column_is_missing_numbers(write):
    assert read_table(write("a,b\n1,\n2,\n"))["b"].isna().all()


def test_booleans_with_missing_ones(write):
    frame = read_table(write("b,c\ntrue,1\n,2\nFALSE,3\n"))
    assert frame["b"].dtype == "boolean"
    assert frame["b"].isna().tolist() == [False, True, False]


def test_numbers_and_a_text_that_comes_back_are_categories(write):
    rows = ["0", "1", "2", "3+"] * 6
    assert read_table(write("n\n" + "\n".join(rows)))["n"].tolist() == rows


def test_whole_numbers_beyond_64_bits_are_read(write):
    assert read_table(write("n\n1\n99999999999999999999\n"))["n"].iloc[1] == pytest.approx(1e20)


def test_dates_with_zones_are_put_in_utc(write):
    frame = read_table(write("d\n2024-01-01T00:00:00+02:00\n2024-01-01T00:00:00Z\n"))
    assert frame["d"].iloc[0] == pd.Timestamp("2023-12-31 22:00")


# ---------------------------------------------------------------------- broken CSV
@pytest.mark.parametrize(
    ("content", "row", "words"),
    [
        ("a,b\n1,2\n3\n", 3, "1 fields, but the header has 2"),
        ("a,b\n1,2\n3,4,5\n", 3, "3 fields, but the header has 2"),
        ('a,b\n1,"x\ny"\n3,4,5\n', 4, "3 fields"),
        ('a,b\n"1,2\n3,4\n', 2, "goes on to line 3: is a double quote not closed"),
        ('a,b\n1,2\n3,"4\n5,6\n', 3, "double quote not closed"),
        ("a,b,a\n1,2,3\n", 1, "duplicate column names: 'a'"),
        ("1,2,1\n3,4,5\n", 1, "holds numbers: is the header missing"),
        (b"a,b\nx,1\n\xe9t\xe9,2\n", 3, "byte 0xe9 is not utf-8.*encoding='latin-1'"),
        ("a\n1\n".encode("utf-16"), 1, "encoding='utf-16'"),
        (b"a,b\n1,2\n\0\0,3\n", 3, "zero byte"),
        ("a\n" + "\n".join(["1.5"] * 99) + "\nabc\n", 101, "text 'abc', but 99.0% .*categorical="),
        ("a\n2024-01-01\n2024-01-02\nsoon\n", 4, "'soon', but 66.7% of its values are dates"),
    ],
)
def test_a_broken_line_is_named(write, content, row, words):
    path = write(content)
    error = caught(path)
    assert error.row == row
    assert f"line {row}: " in str(error)
    assert re.search(words, str(error))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the file is empty"),
        (" \n\n ", "the file is empty"),
        ("a,b\n", "a header and no row after it"),
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-12], "gzipped file is cut off or damaged"),
        (
            gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:30] + b"\0" * 40,
            "gzipped file is cut off or damaged",
        ),
    ],
)
def test_a_file_without_a_table_is_named(write, content, words):
    assert words in str(caught(write(content)))


def test_a_file_that_is_not_there(tmp_path):
    assert "No such file" in str(caught(tmp_path / "none.csv"))


def test_a_folder_is_not_a_table(tmp_path):
    assert "directory" in str(caught(tmp_path))


def test_encoding_may_be_given(write):
    assert read_table(write(b"a\n\xe9\n"), encoding="latin-1")["a"].tolist() == ["é"]


def test_text_in_numbers_may_be_declared_a_category(write):
    path = write("a\n1\n2\n3\nx\n")
    assert "line 5" in str(caught(path))
    assert read_table(path, categorical=["a"])["a"].tolist() == ["1", "2", "3", "x"]


@pytest.mark.parametrize("option", ["categorical", "ignore"])
def test_an_option_that_names_no_column(write, option):
    error = caught(write("area,town\n1,x\n"), **{option: ["twon"]})
    assert "no column 'twon'; did you mean 'town'" in str(error)


def test_ignoring_everything(write):
    assert "no column is left" in str(caught(write("a\n1\n"), ignore=["a"]))


SPOILERS = [
    b",", b'"', b"\n", b"\r", b";", b" ", b"\t", b"\0", b"\xff", b"nan", b"inf", b"-1e400", b"true",
    b"\\", b'""', b"\xef\xbb\xbf", b"99999999999999999999", b"2024-13-45", b"\xe2\x80\xa8", b"\x0b",
]  # fmt: skip


def test_whatever_is_in_the_file_it_is_a_table_or_one_clear_error(tmp_path):
    whole = (
        b'a,b,"c d",y\n1,x,2024-01-01,1.5\n2,,2024-01-02,2\n3,"q ""r""",,3\n4,"s\nt",2024-01-04,4\n'
    )
    random = np.random.default_rng(0)
    path = tmp_path / "t.csv"
    tables = 0
    for _ in range(300):
        spoilt = bytearray(whole)
        for _ in range(random.integers(1, 4)):
            at = random.integers(len(spoilt))
            end = at + random.integers(3)
            spoilt[at:end] = SPOILERS[random.integers(len(SPOILERS))]
        path.write_bytes(spoilt)
        try:
            tables += len(read_table(path)) > 0
        except DataError as error:
            assert str(path) in str(error)
    assert 0 < tables < 300


# ---------------------------------------------------------------------- the target
def test_a_target_that_is_not_there_lists_the_columns(write):
    error = str(caught(write("area,price\n1,2\n"), target="prize"))
    assert "did you mean 'price'" in error
    assert "the columns are 'area', 'price'" in error


def test_a_target_that_is_not_there_because_the_header_is_missing(write):
    error = str(caught(write("5.1,3.5,setosa\n4.9,3.0,setosa\n"), target="species"))
    assert "is the header missing" in error


@pytest.mark.parametrize("empty", ["", "NA", "NaN", "null"])
def test_an_empty_target_is_named(write, empty):
    error = caught(write(f"x,y\n1,2\n3,{empty}\n5,\n"), target="y")
    assert error.row == 3
    assert "line 3: the target 'y' is empty" in str(error)
    assert "(2 rows" in str(error)


# ---------------------------------------------------------------------- Parquet
def test_parquet_gives_back_a_table(tmp_path):
    day = datetime.date(2024, 5, 31)
    frame = pd.DataFrame(
        {
            "x": [1.5, None, 3.0],
            "n": pd.array([1, None, 3], dtype="Int64"),
            "b": [True, None, False],
            "c": pd.Categorical(["u", "v", "u"]),
            "d": [day, None, day],
            "m": pd.to_datetime(["2024-01-01", None, "2024-01-02"], utc=True),
            "money": [decimal.Decimal("1.25"), None, decimal.Decimal("2.5")],
            "wait": pd.to_timedelta([1, 2, 3], unit="s"),
            "f": np.array([1, 2, 3], dtype=np.float32),
            "<script>": ["a", "b", None],
        }
    )
    frame.to_parquet(tmp_path / "t.parquet")
    got = read_table(tmp_path / "t.parquet", target="f")
    assert got.index.name == "row"
    assert got.index.tolist() == [1, 2, 3]
    assert got["n"].dtype == np.float64
    assert got["b"].dtype == "boolean"
    assert got["c"].tolist() == ["u", "v", "u"]
    assert got["d"].dtype.kind == got["m"].dtype.kind == "M"
    assert got["money"].tolist()[::2] == [1.25, 2.5]
    assert got["wait"].tolist() == [1.0, 2.0, 3.0]
    assert got["<script>"].isna().tolist() == [False, False, True]


def test_parquet_without_a_target_value_names_the_row(tmp_path):
    pd.DataFrame({"x": [1, 2], "y": [1.0, None]}).to_parquet(tmp_path / "t.pq")
    error = caught(tmp_path / "t.pq", target="y")
    assert error.row == 2
    assert "row 2: the target 'y' is empty" in str(error)


def test_parquet_of_lists_names_the_column(tmp_path):
    pd.DataFrame({"x": [[1, 2], [3]]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataError, match="column 'x' holds values of type ndarray"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing", b"a,b\n1,2\n"])
def test_a_broken_parquet_file(write, content):
    assert "not a readable Parquet file" in str(caught(write(content, "t.parquet")))


def test_a_parquet_file_that_is_cut_off(tmp_path):
    whole = tmp_path / "whole.parquet"
    pd.DataFrame({"x": np.arange(1000)}).to_parquet(whole)
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(whole.read_bytes()[:-200])
    assert "Parquet" in str(caught(cut))


def test_a_parquet_file_without_rows(tmp_path):
    pd.DataFrame({"x": []}).to_parquet(tmp_path / "t.parquet")
    assert "no rows" in str(caught(tmp_path / "t.parquet"))


def test_a_parquet_file_that_is_not_there(tmp_path):
    assert "No such file" in str(caught(tmp_path / "none.parquet"))
