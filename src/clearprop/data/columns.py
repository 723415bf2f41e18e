"""What the columns of a DataFrame hold: numbers, booleans, dates, categories, or an error."""

from __future__ import annotations

import datetime
import decimal
from typing import Literal

import numpy as np
import pandas as pd

from clearprop.errors import DataError, did_you_mean

Kind = Literal["numeric", "boolean", "date", "categorical"]

TEXT_IN_NUMBERS = (
    "{place}: column {name!r} holds the text {value!r}, but {share:.1%} of its values are numbers; "
    "correct that row, or pass categorical=[{name!r}] if these are categories, "
    "or missing=[{value!r}] if it stands for no value"
)
TEXT_IN_DATES = (
    "{place}: column {name!r} holds {value!r}, but {share:.1%} of its values are dates; "
    "correct that row (dates are written 2024-05-31), "
    "or pass categorical=[{name!r}] if these are categories"
)
LIST_AT_MOST = 30


def place(frame: pd.DataFrame, position: int) -> tuple[str, int]:
    """Words and number for a row: its line in the CSV file, or its row, from 1."""
    from_file = frame.index.name in ("line", "row") and frame.index.dtype.kind == "i"
    unit = frame.index.name if from_file else None
    number = int(frame.index[position]) if unit else position + 1
    return f"{unit or 'row'} {number}", number


def error_at(who: str, frame: pd.DataFrame, position: int, message: str) -> DataError:
    """`who: file: line n: message`."""
    path = frame.attrs.get("path")
    words, number = place(frame, position)
    return DataError(": ".join((who, *([path] if path else []), words, message)), path, number)


def first_where(mask: np.ndarray | pd.Series) -> int:
    return int(np.asarray(mask).argmax())


def listed(names: object) -> str:
    """Quoted names, not more than can be read."""
    names = [repr(str(n)) for n in names]  # type: ignore[attr-defined]
    more = len(names) - LIST_AT_MOST
    return ", ".join(names[:LIST_AT_MOST]) + (f" and {more} more" if more > 0 else "")


def check_target(who: str, frame: pd.DataFrame, target: str) -> None:
    """Raise unless the column is there and has a value in every row."""
    if target not in frame.columns:
        numbers = pd.to_numeric(pd.Series(frame.columns.map(str)), errors="coerce").notna().any()
        hint = "; the first line holds numbers: is the header missing?" if numbers else ""
        path = frame.attrs.get("path")
        raise DataError(
            f"{who}: {f'{path}: ' if path else ''}there is no column {target!r} for the target"
            f"{did_you_mean(target, frame.columns)}; the columns are {listed(frame.columns)}{hint}",
            path,
        )
    empty = frame[target].isna()
    if empty.any():
        raise error_at(
            who,
            frame,
            first_where(empty),
            f"the target {target!r} is empty; give it a value or leave out the row"
            + (f" ({int(empty.sum())} rows are like this)" if empty.sum() > 1 else ""),
        )


# ---------------------------------------------------------------------- what text stands for
def parse_text(text: pd.Series, frame: pd.DataFrame) -> pd.Series:
    """A column of text as numbers, booleans or dates where every value is one, else as it is."""
    present = text.notna()
    if not present.any():
        return text.astype("float64")
    numbers = pd.to_numeric(text, errors="coerce")
    strange = present & numbers.isna()
    if not strange.any():
        return numbers if numbers.dtype == np.int64 else numbers.astype("float64")
    values = text[present]
    if values.head(50).str.lower().isin(("true", "false")).all():
        lower = values.str.lower()
        if lower.isin(("true", "false")).all():
            return (
                (lower == "true")
                .reindex(text.index)
                .astype("boolean" if len(values) < len(text) else "bool")
            )
    if values.head(50).str.match(r"\d{4}-\d\d-\d\d").mean() > 0.5:
        return _dates(text, present, frame)
    share = 1 - strange.sum() / present.sum()
    if share >= 0.5 and not _are_categories(values, int(strange.sum())):
        at = first_where(strange)
        raise _stray(TEXT_IN_NUMBERS, text, at, share, frame)
    return text


def _are_categories(values: pd.Series, strange: int) -> bool:
    """Numbers and text ("1", "2", "3+") are categories if few values come back again and again."""
    return strange >= 5 and values.nunique() <= 20


def _dates(text: pd.Series, present: pd.Series, frame: pd.DataFrame) -> pd.Series:
    dates = pd.to_datetime(text, format="ISO8601", errors="coerce", utc=True).dt.tz_localize(None)
    strange = present & dates.isna()
    if not strange.any():
        return dates
    share = 1 - strange.sum() / present.sum()
    if share < 0.5:
        return text
    raise _stray(TEXT_IN_DATES, text, first_where(strange), share, frame)


def _stray(message: str, text: pd.Series, at: int, share: float, frame: pd.DataFrame) -> DataError:
    words, number = place(frame, at)
    path = frame.attrs.get("path")
    where = f"read_table: {path}: {words}"
    value = str(text.iloc[at])
    return DataError(
        message.format(place=where, name=text.name, value=value[:80], share=share), path, number
    )


# ---------------------------------------------------------------------- what a typed column holds
def plain_column(values: pd.Series, frame: pd.DataFrame) -> pd.Series:
    """A column as numbers, booleans, dates (without zone) or text; durations become seconds."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return plain_column(values.astype(values.cat.categories.dtype), frame)
    if pd.api.types.is_bool_dtype(dtype):
        return values.astype("boolean") if values.isna().any() else values.astype(bool)
    if pd.api.types.is_complex_dtype(dtype):
        raise _unusable(values, frame, "complex numbers")
    if pd.api.types.is_numeric_dtype(dtype):
        whole = pd.api.types.is_signed_integer_dtype(dtype) and not values.isna().any()
        return values.astype("int64" if whole else "float64")
    if pd.api.types.is_datetime64_any_dtype(dtype):
        zone = getattr(dtype, "tz", None)
        return values.dt.tz_convert("UTC").dt.tz_localize(None) if zone is not None else values
    if pd.api.types.is_timedelta64_dtype(dtype):
        return values.dt.total_seconds()
    if isinstance(dtype, pd.StringDtype):
        return values
    return _objects(values, frame)


def _objects(values: pd.Series, frame: pd.DataFrame) -> pd.Series:
    """A column of Python objects by the types that are in it."""
    present = values.dropna()
    types = set(map(type, present))
    if not types:
        return values.astype("float64")
    if types <= {bool, np.bool_}:
        return plain_column(values.astype("boolean"), frame)
    if types <= {decimal.Decimal, int, float, np.float64, np.int64}:
        return values.astype("float64")
    if types <= {datetime.date, datetime.datetime, pd.Timestamp}:
        return plain_column(pd.to_datetime(values, utc=True), frame)
    if types <= {str, int, float, bool, np.float64, np.int64, np.bool_, decimal.Decimal}:
        return values
    odd = next(t for t in types if t is not str)
    raise _unusable(values, frame, f"values of type {odd.__name__}")


def _unusable(values: pd.Series, frame: pd.DataFrame, what: str) -> DataError:
    path = frame.attrs.get("path")
    return DataError(
        f"{f'{path}: ' if path else ''}column {values.name!r} holds {what}, which are neither "
        "numbers, dates nor categories; convert it or leave it out",
        path,
    )


def kind_of(values: pd.Series) -> Kind:
    """The kind of a column that `plain_column` or `parse_text` made."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "numeric"
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "date"
    return "categorical"


def category(value: object) -> str:
    """The name of a category: 1, 1.0 and "1" are one; text stays as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def categories_of(values: pd.Series) -> tuple[np.ndarray, list[str]]:
    """The number of each row's category (-1: missing), and the categories as they first appear."""
    codes, uniques = pd.factorize(values)
    names = [category(u) for u in uniques]
    if len(set(names)) == len(names):
        return codes, names
    merged = {name: i for i, name in enumerate(dict.fromkeys(names))}
    renumber = np.array([*(merged[n] for n in names), -1])
    return renumber[codes], list(merged)
