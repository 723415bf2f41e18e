"""Tables from CSV and Parquet files, as pandas DataFrames.

Why pandas with pyarrow, and not polars: a broken row can be named by its line, and scikit-learn's
estimators and their users meet DataFrames. The index of the DataFrame is the place in the file: for
CSV the line (from 1) on which the row begins, for Parquet the row (from 1), so that whoever finds
something wrong later can still say where it is.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from clearprop.data.columns import check_target, kind_of, parse_text, plain_column
from clearprop.errors import DataError, did_you_mean

Path = str | os.PathLike[str]

SEPARATORS = ";\t|"
BYTE_ORDER_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
WIDEST_FIELD = 1 << 24  # characters; Python's csv stops at 131,072 otherwise


def read_table(
    path: Path,
    target: str | None = None,
    *,
    categorical: Collection[str] = (),
    ignore: Collection[str] = (),
    missing: Sequence[str] = (),
    separator: str | None = None,
    encoding: str = "utf-8",
) -> pd.DataFrame:
    """A CSV or Parquet (`.parquet`, `.pq`) file as a DataFrame of numbers, booleans, dates, text.

    - `target`: a column that must be there and have a value in every row.
    - `categorical`: columns to keep as text even if they look like numbers (postal codes, "1", "2",
      "3+").
    - `ignore`: columns to leave out.
    - `missing`: texts that stand for no value, besides the empty cell, NA, N/A, NaN, null, None and
      such.
    - `separator`: for CSV; if not given a comma, or `;`, tab or `|` where the first line has one of
      these and no comma.

    A CSV column becomes numbers if every value is one, booleans if they are all true or false,
    dates if they are all ISO dates (2024-05-31, also with a time), else text. Text in a column of
    numbers is an error, unless it is a few values that come back again and again. CSV files may be
    gzipped. Space after a separator is left out.

    Raises `DataError` with the file and the line for a file that cannot be read as one table
    without guessing.

    >>> import pathlib, tempfile
    >>> from clearprop.data import read_table
    >>> file = pathlib.Path(tempfile.mkdtemp(), "homes.csv")
    >>> _ = file.write_text("area,town,price\\n50,Bonn,100\\n80,Ulm,\\n")
    >>> read_table(file)
          area  town  price
    line
    2       50  Bonn  100.0
    3       80   Ulm    NaN
    >>> read_table(file, target="price")
    Traceback (most recent call last):
    clearprop.errors.DataError: read_table: ...homes.csv: line 3: the target 'price' is empty; ...
    """
    parquet = str(path).lower().endswith((".parquet", ".pq"))
    frame = _parquet(path) if parquet else _csv(path, categorical, missing, separator, encoding)
    frame.attrs["path"] = os.fspath(path)
    for name in (*categorical, *ignore):
        if name not in frame.columns:
            raise DataError(
                f"read_table: {path}: there is no column {name!r}"
                f"{did_you_mean(name, frame.columns)}",
                path,
            )
    frame = frame.drop(columns=list(ignore))
    if not frame.shape[1]:
        raise DataError(f"read_table: {path}: no column is left of those in the file", path)
    columns = {}
    for name in frame.columns:
        values = plain_column(frame[name], frame)
        if not parquet and name not in categorical and kind_of(values) == "categorical":
            values = parse_text(values, frame)
        columns[name] = values
    out = pd.DataFrame(columns, index=frame.index)
    out.attrs["path"] = frame.attrs["path"]
    if target is not None:
        check_target("read_table", out, target)
    return out


# ---------------------------------------------------------------------- Parquet
def _parquet(path: Path) -> pd.DataFrame:
    try:
        with open(path, "rb") as stream:
            frame = pd.read_parquet(stream)
    except OSError as error:
        raise DataError(
            f"read_table: {path}: cannot be read: {error.strerror or error}", path
        ) from error
    except (ValueError, TypeError, KeyError, NotImplementedError) as error:
        raise DataError(
            f"read_table: {path}: not a readable Parquet file: {error}", path
        ) from error
    if not len(frame):
        raise DataError(f"read_table: {path}: the table has no rows", path)
    frame.columns = [str(name) for name in frame.columns]
    _check_names(list(frame.columns), path)
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return frame


# ---------------------------------------------------------------------- CSV
def _csv(
    path: Path,
    categorical: Collection[str],
    missing: Sequence[str],
    separator: str | None,
    encoding: str,
) -> pd.DataFrame:
    text = _text(path, encoding)
    first = text.lstrip("\r\n").split("\n", 1)[0]
    if separator is None:
        separator = "," if "," in first else next((s for s in SEPARATORS if s in first), ",")
    header, lines = _records(text, separator, path)
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            dtype=dict.fromkeys(categorical, str),
            header=0,
            names=header,
            index_col=False,
            skipinitialspace=True,
            na_values=list(missing),
            low_memory=False,  # one type per column, not one per piece of it
        )
    except pd.errors.ParserError as error:
        raise DataError(
            f"read_table: {path}: line {lines[-1]}: {error}; is a double quote not closed?",
            path,
            row=int(lines[-1]),
        ) from error
    if len(frame) != len(lines):
        raise DataError(
            f"read_table: {path}: {len(lines)} records by one way of reading and {len(frame)} by "
            "another; look for lines that hold only blanks or quotes",
            path,
        )
    frame.index = pd.Index(lines, name="line")
    return frame


def _text(path: Path, encoding: str) -> str:
    try:
        with open(path, "rb") as stream:
            data = stream.read()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"read_table: {path}: the gzipped file is cut off or damaged: {error}", path
        ) from error
    except OSError as error:
        raise DataError(
            f"read_table: {path}: cannot be read: {error.strerror or error}", path
        ) from error
    if not data.strip():
        raise DataError(f"read_table: {path}: the file is empty", path)
    try:
        text = data.decode("utf-8-sig" if encoding == "utf-8" else encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        likely = BYTE_ORDER_MARKS.get(data[:2], "latin-1")
        raise DataError(
            f"read_table: {path}: line {line}: byte 0x{data[error.start]:02x} is not {encoding}; "
            f"pass the file's encoding, perhaps encoding={likely!r}",
            path,
            row=line,
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(
            f"read_table: {path}: line {line}: there is a zero byte; is this a text file?",
            path,
            line,
        )
    return text


def _records(text: str, separator: str, path: Path) -> tuple[list[str], np.ndarray]:
    """The header, and the line on which each record begins; all must have as many fields."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    header: list[str] = []
    lines: list[int] = []
    before, limit = 0, csv.field_size_limit(WIDEST_FIELD)
    try:
        for record in reader:
            begin, before = before + 1, reader.line_num
            if len(record) == len(header) and header and record != [""]:
                lines.append(begin)
            elif not record or (len(record) == 1 and not record[0].strip()):
                continue  # a blank line
            elif not header:
                header = [name or f"column {i + 1}" for i, name in enumerate(record)]
                _check_names(header, path)
            else:
                raise _ragged(record, header, begin, before, path)
    except csv.Error as error:
        raise DataError(
            f"read_table: {path}: line {before + 1}: {error}", path, row=before + 1
        ) from error
    finally:
        csv.field_size_limit(limit)
    if not lines:
        raise DataError(f"read_table: {path}: there is a header and no row after it", path)
    return header, np.asarray(lines)


def _ragged(record: list[str], header: list[str], begin: int, end: int, path: Path) -> DataError:
    hint = "a value with a separator in it must stand in double quotes"
    if end > begin:
        hint = f"the record goes on to line {end}: is a double quote not closed?"
    return DataError(
        f"read_table: {path}: line {begin}: {len(record)} fields, "
        f"but the header has {len(header)}; {hint}",
        path,
        row=begin,
    )


def _check_names(names: list[str], path: Path) -> None:
    if len(set(names)) == len(names):
        return
    twice = sorted({name for name in names if names.count(name) > 1})
    listed = ", ".join(map(repr, twice))
    if all(re.fullmatch(r"[-+.\deE]+", name) for name in names):
        listed += " (the first line holds numbers: is the header missing?)"
    raise DataError(
        f"read_table: {path}: line 1: duplicate column names: {listed}; "
        "give each a name of its own",
        path,
        row=1,
    )
