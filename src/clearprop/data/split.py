"""Which rows train, choose and test: fixed by a seed, with each class's share in every part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import train_test_split

from clearprop.core import Tensor
from clearprop.errors import DataError

SEED_RANGE = 2**32


@dataclass(frozen=True)
class Split:
    """Row numbers, each int64 and in ascending order; `reason` says how they were chosen."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    reason: str


def stratified_split(
    y: Tensor | np.ndarray,
    *,
    test: float = 0.2,
    validation: float = 0.0,
    seed: int = 0,
) -> Split:
    """Split rows into training, validation and test, the latter two given as shares of all rows.

    Classes (integers, booleans, text) are split so that each part has its share of every class; a
    class of which only one row is left goes into training. Real numbers are split at random. The
    test rows depend on `seed` and `test`, not on `validation`.

    Raises `DataError` where a part would have fewer rows than there are classes, or training none.

    >>> import numpy as np
    >>> from clearprop.data import stratified_split
    >>> parts = stratified_split(np.repeat([0, 1], [80, 20]), test=0.25)
    >>> len(parts.train), len(parts.validation), len(parts.test)
    (75, 0, 25)
    """
    labels = y.numpy(force=True) if isinstance(y, Tensor) else np.asarray(y)
    labels = labels.reshape(-1) if labels.ndim == 2 and labels.shape[1] == 1 else labels
    if labels.ndim != 1:
        raise ValueError(f"stratified_split: y has shape {labels.shape}, wanted one label per row")
    for name, share in (("test", test), ("validation", validation)):
        if not 0 <= share < 1:
            raise ValueError(
                f"stratified_split: {name} is {share}, wanted a share from 0 to below 1"
            )
    if test + validation >= 1:
        raise ValueError(f"stratified_split: test {test} + validation {validation} leave no rows")
    n = len(labels)
    classes = None if labels.dtype.kind == "f" else labels
    rows, test_rows, alone = _part(np.arange(n), round(n * test), classes, seed, "test")
    rows, validation_rows, more = _part(rows, round(n * validation), classes, seed, "validation")
    if classes is None:
        return Split(rows, validation_rows, test_rows, "rows at random")
    reason = "every part has its share of each class"
    kept = sorted({str(c) for c in (*alone, *more)})
    if kept:
        reason += f"; too rare to be shared, so in training only: {', '.join(kept[:10])}"
        reason += f" and {len(kept) - 10} more" if len(kept) > 10 else ""
    return Split(rows, validation_rows, test_rows, reason)


def _part(
    rows: np.ndarray, size: int, labels: np.ndarray | None, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows that stay, the `size` rows taken, and the classes that have only one row."""
    none = np.empty(0, dtype=np.int64)
    if size == 0:
        return rows, none, none
    alone, single = none, np.zeros(len(rows), dtype=bool)
    if labels is not None:
        classes, number, counts = np.unique(labels[rows], return_inverse=True, return_counts=True)
        alone, single = classes[counts == 1], counts[number] == 1
    shared = rows[~single]
    try:
        stay, taken = train_test_split(
            shared,
            test_size=size,
            random_state=seed % SEED_RANGE,
            stratify=None if labels is None else labels[shared],
        )
    except ValueError as error:
        raise DataError(
            f"stratified_split: {len(shared)} rows cannot give {size} {name} rows: {error}"
        ) from error
    return np.sort(np.concatenate((stay, rows[single]))), np.sort(taken), alone
