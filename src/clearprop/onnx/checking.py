"""A file is done when other programs run it and come to the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from clearprop.onnx.library import ExportError, onnx, runtime
from clearprop.onnx.sizes import FIXED

TOLERANCE = {"e": 2e-2, "f": 1e-4, "d": 1e-8}  # of the largest element
SMALL = 20_000_000  # bytes of activations and weights up to which the reference is asked, too


def check(
    data: bytes,
    run: Callable[[Sequence[np.ndarray]], list[np.ndarray]],
    arrays: list[np.ndarray],
    axes: Sequence[int | None],
    names: Sequence[str],
) -> tuple[str, ...]:
    """Run the file on the example, and on other batch sizes; the names of what has run it.

    Errors: ExportError where a check fails.
    """
    try:
        onnx.checker.check_model(data, full_check=True)
    except Exception as error:  # of several modules, some without a base
        raise ExportError(f"export: onnx.checker refuses the file: {error}") from error
    cases = [arrays]
    batch = next((a.shape[i] for a, i in zip(arrays, axes, strict=True) if i is not None), None)
    for other in (1, 2, (batch or 0) + 3):
        if batch is not None and other != batch:
            cases.append([_with_batch(a, i, other) for a, i in zip(arrays, axes, strict=True)])
    expected = [_expected(run, case) for case in cases]
    if not all(map(close, expected[0], _expected(run, cases[0]))):
        raise ExportError(
            "export: a second run gives other numbers: the network keeps something from one run to"
            " the next, a file cannot do that"
        )
    programs = dict(_programs(data))
    if "onnxruntime" in programs and _weight(data, arrays, expected[0]) > SMALL:
        programs.pop("onnx.reference", None)  # minutes, for a network that has already been checked
    checked: list[str] = []
    for name, make in programs.items():
        try:
            execute = make()
            for case, wanted in zip(cases, expected, strict=True):
                found = execute(dict(zip(names, case, strict=True)))
                _compare(name, case, wanted, found)
        except ExportError:
            raise
        except Exception as error:
            if checked:
                continue  # the reference lacks some cases (groups, negative pads): not counted
            raise ExportError(f"export: {name} cannot run the file: {error}") from error
        checked.append(name)
    return ("onnx.checker", *checked)


def _expected(run: Callable[..., list[np.ndarray]], case: list[np.ndarray]) -> list[np.ndarray]:
    try:
        return run(case)
    except (RuntimeError, ValueError, TypeError, LookupError) as error:
        shapes = ", ".join(str(a.shape) for a in case)
        raise ExportError(
            f"export: the network does not run with inputs {shapes}: {error}; {FIXED}"
        ) from error


def _with_batch(array: np.ndarray, axis: int | None, size: int) -> np.ndarray:
    """The rows again and again, until there are `size`."""
    if axis is None or not array.shape[axis]:
        return array
    return np.take(array, np.arange(size) % array.shape[axis], axis)


def _weight(data: bytes, arrays: list[np.ndarray], outs: list[np.ndarray]) -> int:
    return len(data) + 20 * sum(a.nbytes for a in (*arrays, *outs))


def _programs(data: bytes) -> list[tuple[str, Callable[[], Any]]]:
    ort = runtime()

    def in_runtime() -> Any:
        options = ort.SessionOptions()
        options.log_severity_level = 4
        session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        wanted = {i.name for i in session.get_inputs()}
        return lambda feeds: session.run(None, {k: v for k, v in feeds.items() if k in wanted})

    def in_reference() -> Any:
        evaluator = onnx.reference.ReferenceEvaluator(onnx.load_model_from_string(data))
        return lambda feeds: evaluator.run(None, feeds)

    found = [] if ort is None else [("onnxruntime", in_runtime)]
    return [*found, ("onnx.reference", in_reference)]


def _compare(name: str, case: list[np.ndarray], wanted: list[np.ndarray], found: list[Any]) -> None:
    shapes = ", ".join(str(a.shape) for a in case)
    for i, (a, b) in enumerate(zip(wanted, found, strict=True)):
        b = np.asarray(b)
        if (a.shape, a.dtype) != (b.shape, b.dtype):
            raise ExportError(
                f"export: output {i} for inputs {shapes} is {b.dtype}{b.shape} in {name}, and"
                f" {a.dtype}{a.shape} in clearprop"
            )
        if not close(a, b):
            raise ExportError(
                f"export: output {i} for inputs {shapes} differs in {name} by {_gap(a, b):.3g}, its"
                f" largest element is {_largest(a):.3g}"
            )


def _largest(a: np.ndarray) -> float:
    finite = np.abs(a[np.isfinite(a)]) if a.dtype.kind == "f" else np.abs(a.astype(float))
    return float(finite.max(initial=0.0))


def _gap(a: np.ndarray, b: np.ndarray) -> float:
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.abs(a.astype(float) - b.astype(float))))


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays agree, relative to the largest element; nan and inf at the same places."""
    if a.dtype.kind != "f":
        return bool(np.array_equal(a, b))
    tolerance = TOLERANCE[a.dtype.char] * _largest(a)
    return bool(np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True))
