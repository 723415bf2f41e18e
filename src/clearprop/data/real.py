"""Real sets that come with scikit-learn, so that nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from sklearn import datasets

from clearprop.core import Tensor, wrap
from clearprop.errors import DataError, did_you_mean

NO_HOUSING = (
    "load_real: california_housing does not come with scikit-learn and is not in {folder}; "
    "clearprop downloads nothing. To fetch it once: "
    'python -c "from sklearn.datasets import fetch_california_housing as f; f()"'
)


@dataclass(frozen=True)
class RealSet:
    """A data set with what is known about it.

    `x` is float32 (n, features), in the units of the source; `y` is int64 (n,) class numbers, or
    float32 (n, 1) values for a regression, the shape of a network's output. `image_shape` is
    (height, width) where a row of x is a picture.
    """

    name: str
    x: Tensor
    y: Tensor
    task: Literal["classification", "regression"]
    feature_names: tuple[str, ...]
    class_names: tuple[str, ...]
    description: str
    image_shape: tuple[int, int] | None = None


@dataclass(frozen=True)
class _Source:
    load: Callable[[], Any]
    task: Literal["classification", "regression"]
    description: str
    image_shape: tuple[int, int] | None = None


def _housing() -> Any:
    try:
        return datasets.fetch_california_housing(download_if_missing=False)
    except OSError as error:
        folder = datasets.get_data_home()
        raise DataError(NO_HOUSING.format(folder=folder), path=folder) from error


REAL_SETS: dict[str, _Source] = {
    "digits": _Source(
        datasets.load_digits,
        "classification",
        "handwritten digits as 8x8 pictures, each pixel 0 (white) to 16 (black)",
        (8, 8),
    ),
    "iris": _Source(
        datasets.load_iris,
        "classification",
        "three kinds of iris by the length and width of their petals and sepals in cm",
    ),
    "wine": _Source(
        datasets.load_wine, "classification", "three growers of wine by its chemical analysis"
    ),
    "breast_cancer": _Source(
        datasets.load_breast_cancer,
        "classification",
        "malignant or benign, by the shape of the cell nuclei in a picture",
    ),
    "diabetes": _Source(
        # Unscaled: scikit-learn's own scaling has seen every row, also those that will be tested
        # on.
        lambda: datasets.load_diabetes(scaled=False),
        "regression",
        "how far diabetes has advanced after a year, by age, sex, body mass, blood and serum",
    ),
    "california_housing": _Source(
        _housing, "regression", "median house value of Californian districts in 100,000 dollars"
    ),
}


def load_real(name: str) -> RealSet:
    """One of `REAL_SETS` by name; `-` and `_` are the same.

    Raises `DataError` for an unknown name, and for california_housing where it is not on this disk.

    >>> from clearprop.data import load_real
    >>> digits = load_real("digits")
    >>> digits.x.shape, digits.image_shape, digits.class_names[3]
    ((1797, 64), (8, 8), '3')
    """
    key = name.replace("-", "_")
    if key not in REAL_SETS:
        raise DataError(
            f"load_real: there is no set {name!r}{did_you_mean(key, REAL_SETS)}; "
            f"there are {', '.join(REAL_SETS)}"
        )
    source = REAL_SETS[key]
    bunch = source.load()
    x = np.ascontiguousarray(bunch.data, dtype=np.float32)
    if source.task == "classification":
        y = bunch.target.astype(np.int64)
        class_names = tuple(map(str, bunch.target_names))
    else:
        y = bunch.target.astype(np.float32)[:, None]
        class_names = ()
    return RealSet(
        name=key,
        x=wrap(x, None),
        y=wrap(y, None),
        task=source.task,
        feature_names=tuple(map(str, bunch.feature_names)),
        class_names=class_names,
        description=source.description,
        image_shape=source.image_shape,
    )
