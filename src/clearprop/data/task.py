"""What a target column asks for: classes or numbers."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pandas as pd

from clearprop.data.columns import kind_of, plain_column
from clearprop.errors import DataError

Task = Literal["classification", "regression"]

MOST_CLASSES = 20  # whole numbers with more different values are a quantity


def decide_task(target: pd.Series) -> tuple[Task, str]:
    """Whether a target is classified or fitted, and the reason in words.

    Text and booleans are classes. So are whole numbers with at most 20 different values, if there
    are two of them or at least ten rows for each. All other numbers are fitted.

    >>> import pandas as pd
    >>> from clearprop.data import decide_task
    >>> decide_task(pd.Series([0.5, 1.25, 3.0], name="price"))
    ('regression', "the target 'price' holds numbers that are not whole")
    """
    values = plain_column(target, target.to_frame())
    name, kind = str(target.name), kind_of(values)
    distinct = int(values.nunique())
    if kind == "date":
        raise DataError(
            f"decide_task: the target {name!r} holds dates; convert them to a number first"
        )
    if kind == "boolean":
        return "classification", f"the target {name!r} is true or false"
    if kind == "categorical":
        return "classification", f"the target {name!r} holds text with {distinct} different values"
    x = values.dropna().to_numpy(np.float64)
    if not (np.isfinite(x) & (x == np.floor(x))).all():
        return "regression", f"the target {name!r} holds numbers that are not whole"
    kinds = f"the target {name!r} holds whole numbers with {distinct} different values"
    if distinct <= MOST_CLASSES and (distinct <= 2 or len(x) >= 10 * distinct):
        return "classification", f"{kinds} in {len(x)} rows"
    return "regression", (
        f"{kinds}, more than {MOST_CLASSES} classes would be"
        if distinct > MOST_CLASSES
        else f"{kinds} in only {len(x)} rows, fewer than ten for each"
    )


def class_order(name: str) -> tuple[int, float, str]:
    """Classes that are numbers in the order of the numbers, others in that of the alphabet."""
    try:
        value = float(name)
    except ValueError:
        return 1, 0.0, name
    return (0, value, name) if math.isfinite(value) else (1, 0.0, name)
