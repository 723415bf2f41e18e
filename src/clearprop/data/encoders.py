"""How a column of a table becomes columns of numbers: learnt from training rows, used on any.

    Numeric      (x - mean) / scale, empty cells take the median, [1 where empty]
    Categorical  one column per category, [one for all others], [one for empty cells]
    Date         days, time of the year, of the week, [of the day], as Numeric; [1 where empty]

An encoder is a frozen dataclass of plain values, so that it is its own JSON record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np
import pandas as pd

from clearprop.data.columns import (
    categories_of,
    category,
    error_at,
    first_where,
    kind_of,
    listed,
    plain_column,
)
from clearprop.errors import did_you_mean

DAY = 86_400.0
ID_NAMES = ("id", "index", "idx", "row", "rowid", "row_id", "unnamed: 0", "column 1")

FEW = 10  # so few different texts are categories, even if each row has another
NEVER_EMPTY = "column {0!r} is empty, and no training row was; give it a value"
UNKNOWN = (
    "column {0!r} has the value {1!r}, which no training row had{2}; it had {3}. "
    'Correct it, or pass unknown="ignore" to treat such values as none of the known ones'
)


class Encoder(Protocol):
    """What is common to the encoders."""

    kind: ClassVar[str]

    @property
    def name(self) -> str: ...
    @property
    def outputs(self) -> tuple[str, ...]: ...
    def encode(self, frame: pd.DataFrame, out: np.ndarray, unknown: str) -> None: ...


@dataclass(frozen=True)
class Numeric:
    """Numbers and booleans (0, 1): standardised, with the training median for empty cells."""

    name: str
    median: float
    mean: float
    scale: float
    indicator: bool

    kind: ClassVar[str] = "numeric"

    def __post_init__(self) -> None:
        _check(self.scale > 0, self, f"scale is {self.scale}")

    @property
    def outputs(self) -> tuple[str, ...]:
        return (self.name, f"{self.name} is missing") if self.indicator else (self.name,)

    def encode(self, frame: pd.DataFrame, out: np.ndarray, unknown: str) -> None:
        x = numbers(frame, self.name)
        empty = np.isnan(x)
        out[:, 0] = (np.where(empty, self.median, x) - self.mean) / self.scale
        if self.indicator:
            out[:, 1] = empty

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str) -> Numeric | str:
        """The encoder, or why the column is dropped."""
        x = numbers(frame, name)
        empty = np.isnan(x)
        if empty.all():
            return "every value is missing"
        filled = np.where(empty, median := float(np.median(x[~empty])), x)
        mean, scale = moments(filled)
        if scale == 0 and not empty.any():
            return f"constant: every value is {median:g}"
        return cls(name, median, mean, scale or 1.0, bool(empty.any()))


@dataclass(frozen=True)
class Categorical:
    """Text and other categories, one-hot; `other` takes the rare ones and those that are new."""

    name: str
    categories: tuple[str, ...]
    other: bool
    empty: bool

    kind: ClassVar[str] = "categorical"

    def __post_init__(self) -> None:
        _check(len(set(self.categories)) == len(self.categories), self, "a category is there twice")

    @property
    def outputs(self) -> tuple[str, ...]:
        known = tuple(f"{self.name}={c}" for c in self.categories)
        return (
            *known,
            *((f"{self.name}=(other)",) if self.other else ()),
            *((f"{self.name}=(missing)",) if self.empty else ()),
        )

    def encode(self, frame: pd.DataFrame, out: np.ndarray, unknown: str) -> None:
        codes, names = categories_of(plain_column(frame[self.name], frame))
        slot = {c: i for i, c in enumerate(self.categories)}
        # The last entry stands for code -1, an empty cell; -1 as a place means no column.
        n = len(self.categories)
        other = n if self.other else -1
        places = [*(slot.get(c, other) for c in names), n + self.other if self.empty else other]
        where = np.asarray(places)[codes]
        out[:] = 0
        known = where >= 0
        if unknown == "error" and not known.all():
            raise self._unknown(frame, first_where(~known))
        out[np.flatnonzero(known), where[known]] = 1

    def _unknown(self, frame: pd.DataFrame, position: int) -> Exception:
        value = frame[self.name].iloc[position]
        if pd.isna(value):
            return error_at("TablePreprocessor", frame, position, NEVER_EMPTY.format(self.name))
        text = category(value)
        message = UNKNOWN.format(
            self.name, text, did_you_mean(text, self.categories), listed(self.categories)
        )
        return error_at("TablePreprocessor", frame, position, message)

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, most: int, keep: bool) -> Categorical | str:
        """The encoder, or why the column is dropped."""
        codes, names = categories_of(plain_column(frame[name], frame))
        present = codes >= 0
        n, k = int(present.sum()), len(names)
        if not n:
            return "every value is missing"
        if k == 1 and present.all():
            return f"constant: every value is {names[0]!r}"
        if k > n / 2 and k >= FEW and not keep:
            return f"like an identifier or free text: {k} different values in {n} rows"
        counts = np.bincount(codes[present], minlength=k)
        # Of two categories that are equally frequent the first in the alphabet counts first.
        ranked = sorted(range(k), key=lambda i: (-counts[i], names[i]))
        # A weight that two rows in thousands have set says little: such categories share one.
        least = min(3, 1 + n // 100)
        kept = [i for i in ranked if counts[i] >= least]
        if not kept:
            return f"every one of its {k} values is rare: in fewer than {least} of {n} rows"
        kept = kept[:most]
        return cls(
            name, tuple(sorted(names[i] for i in kept)), len(kept) < k, bool((~present).any())
        )


@dataclass(frozen=True)
class Date:
    """Dates: days since 1970 and the phases of year, week and (if there are times) day."""

    name: str
    median: float
    times: bool
    means: tuple[float, ...]
    scales: tuple[float, ...]
    indicator: bool

    kind: ClassVar[str] = "date"

    def __post_init__(self) -> None:
        parts = 7 if self.times else 5
        _check(len(self.means) == len(self.scales) == parts, self, f"it must have {parts} parts")
        _check(min(self.scales) > 0, self, f"scales are {self.scales}")

    @property
    def outputs(self) -> tuple[str, ...]:
        phases = ("year", "week", "day") if self.times else ("year", "week")
        waves = tuple(f"{self.name} {wave} of {p}" for p in phases for wave in ("sin", "cos"))
        missing = (f"{self.name} is missing",) if self.indicator else ()
        return (f"{self.name} in days", *waves, *missing)

    def encode(self, frame: pd.DataFrame, out: np.ndarray, unknown: str) -> None:
        days = days_of(frame, self.name)
        empty = np.isnan(days)
        parts = date_parts(np.where(empty, self.median, days), self.times)
        for i, (part, mean, scale) in enumerate(zip(parts, self.means, self.scales, strict=True)):
            out[:, i] = (part - mean) / scale
        if self.indicator:
            out[:, -1] = empty

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str) -> Date | str:
        """The encoder, or why the column is dropped."""
        days = days_of(frame, name)
        empty = np.isnan(days)
        if empty.all():
            return "every value is missing"
        present = days[~empty]
        if (present == present[0]).all() and not empty.any():
            return f"constant: every value is {frame[name].iloc[0]}"
        median = float(np.median(present))
        times = bool((present != np.floor(present)).any())
        if not times:
            median = math.floor(median)
        fitted = [moments(part) for part in date_parts(np.where(empty, median, days), times)]
        means = tuple(mean for mean, _ in fitted)
        scales = tuple(scale or 1.0 for _, scale in fitted)
        return cls(name, float(median), times, means, scales, bool(empty.any()))


ENCODERS: dict[str, type[Numeric] | type[Categorical] | type[Date]] = {
    e.kind: e for e in (Numeric, Categorical, Date)
}


def is_identifier(values: pd.Series) -> bool:
    """Whether the name says so and every row has another whole number."""
    name = str(values.name).strip().lower()
    named = name in ID_NAMES or name.endswith(("_id", " id"))
    if not named or values.isna().any() or values.dtype.kind not in "iuf":
        return False
    return bool(values.is_unique and (values == np.floor(values)).all())


# ---------------------------------------------------------------------- columns as numbers
def numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A numeric or boolean column as float64, NaN where empty; infinite values raise."""
    values = plain_column(frame[name], frame)
    if kind_of(values) not in ("numeric", "boolean"):
        at = first_where(values.notna())
        raise error_at(
            "TablePreprocessor",
            frame,
            at,
            f"column {name!r} held numbers in training, here it holds {str(values.iloc[at])!r}",
        )
    x = values.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(x).any():
        raise error_at(
            "TablePreprocessor",
            frame,
            first_where(np.isinf(x)),
            f"column {name!r} is infinite; replace it with a number, or leave the cell empty",
        )
    return x


def days_of(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A column of dates as days since 1970, NaN where empty."""
    values = plain_column(frame[name], frame)
    if kind_of(values) != "date" and values.notna().any():
        at = first_where(values.notna())
        raise error_at(
            "TablePreprocessor",
            frame,
            at,
            f"column {name!r} held dates in training, here it holds {str(values.iloc[at])!r}",
        )
    stamps = pd.to_datetime(values).to_numpy().astype("datetime64[us]")
    days = stamps.astype(np.int64) / (DAY * 1e6)
    return np.where(np.isnat(stamps), np.nan, days)


def date_parts(days: np.ndarray, times: bool) -> list[np.ndarray]:
    """Days, and sine and cosine of the phase in the year, the week and, with `times`, the day."""
    phases = [days / 365.2425, days / 7]
    if times:
        phases.append(days)
    turns = [2 * math.pi * (p - np.floor(p)) for p in phases]
    return [days, *(wave(t) for t in turns for wave in (np.sin, np.cos))]


def moments(x: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation (divided by n); deviation 0 where rounding is all there is."""
    # Divided by the largest first: the square of 1e200 is inf.
    most = float(np.abs(x).max(initial=0.0)) or 1.0
    mean = float((x / most).mean())
    spread = float((x / most).std())
    constant = spread <= 1e-12 * abs(mean)
    return mean * most, 0.0 if constant else spread * most


def _check(right: bool, encoder: Encoder, what: str) -> None:
    if not right:
        raise ValueError(f"column {encoder.name!r}: {what}")
