"""clearprop.sklearn beside scikit-learn's own networks: the same settings, one run, one thread.

    python bench/estimators.py                     digits and a set of MNIST's size
    python bench/estimators.py digits --rounds 9   one of them

Whole fits are timed, in turn, round after round; tracing and compiling are part of them. The first
round starts with an empty cache of machine code, and is shown by itself. Medians and minima over
the other rounds: on a machine that does other things, the minima say more. The process keeps the
steps of a fit for the next of its kind, so later rounds are what a grid search sees; "traced anew"
is a fit that finds its machine code on disk, as the first one of a new process does. Rows of the
same sizes in float64 and float32 train in float32 with the same code: only the first of them starts
with nothing.
"""

from __future__ import annotations

from timing import single_thread

single_thread()

import argparse  # noqa: E402
import os  # noqa: E402
import statistics  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

os.environ["CLEARPROP_CACHE_DIR"] = tempfile.mkdtemp(prefix="clearprop-bench-")

import numpy as np  # noqa: E402
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.neural_network import MLPClassifier as Theirs  # noqa: E402

from clearprop.sklearn import MLPClassifier, pool  # noqa: E402


def digits(dtype: type) -> tuple[Any, Any, dict[str, Any]]:
    """1797 x 64, 64-128-10, adam, the other settings as they are by default."""
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(dtype), y, {}


def mnist_sized(dtype: type) -> tuple[Any, Any, dict[str, Any]]:
    """60000 x 784, 784-128-10, adam, 3 epochs: ten blurred clusters with noise."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 60000)
    centres = rng.random((10, 784), np.float32)
    X = 0.3 * centres[y] + 0.7 * rng.random((60000, 784), np.float32)
    return X.astype(dtype), y, {"max_iter": 3}


ROWS: dict[str, tuple[Callable[[type], Any], type]] = {
    "digits float64": (digits, np.float64),
    "digits float32": (digits, np.float32),
    "mnist-sized float64": (mnist_sized, np.float64),
    "mnist-sized float32": (mnist_sized, np.float32),
}


def timed(estimator: Any, X: Any, y: Any) -> tuple[float, float, float]:
    """Seconds of a fit, training score, last loss."""
    start = time.perf_counter()
    estimator.fit(X, y)
    return time.perf_counter() - start, estimator.score(X, y), estimator.loss_


def compare(name: str, rounds: int) -> None:
    make, dtype = ROWS[name]
    X, y, settings = make(dtype)
    ours, theirs, anew = [], [], []
    for i in range(rounds + 1):
        kept = dict(hidden_layer_sizes=(128,), random_state=0, **settings)
        ours.append(timed(MLPClassifier(**kept), X, y))
        theirs.append(timed(Theirs(**kept), X, y))
        if i:
            pool._idle.clear()
            anew.append(timed(MLPClassifier(**kept), X, y))
    print(f"\n{name} ({make.__doc__})")
    print(f"  scores {ours[0][1]:.4f} and {theirs[0][1]:.4f}, losses {ours[0][2]:.5f} and"
          f" {theirs[0][2]:.5f}")  # fmt: skip
    own = [t for t, _, _ in ours]
    other = [t for t, _, _ in theirs]
    print(f"  first fit: {own[0]:.3f} s, {other[0] / own[0]:.1f} times as fast")
    for what, times in (("traced anew", [t for t, _, _ in anew]), ("later fits", own[1:])):
        for pick, how in ((statistics.median, "median"), (min, "minimum")):
            a, b = pick(times), pick(other[1:])
            print(f"  {what}, {how}: {a:.3f} s, scikit-learn {b:.3f} s: {b / a:.2f} times as fast")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help=f"beginnings of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    for row in ROWS:
        if not options.rows or any(row.startswith(r) for r in options.rows):
            compare(row, options.rounds)
