"""The package onnx, which the extra `onnx` installs, and the errors of this one."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from clearprop.errors import ClearpropError, DataError, optional_import

onnx: Any = optional_import("onnx", extra="onnx")
optional_import("onnx.reference", extra="onnx")
helper: Any = onnx.helper
numpy_helper: Any = onnx.numpy_helper
ModelProto: Any = onnx.ModelProto


class ExportError(ClearpropError, ValueError):
    """A block that has no ONNX form, or a file that did not pass its checks."""


class ImportRefused(DataError):
    """An ONNX file that is damaged, not allowed, or uses what there is no operator for."""


def runtime() -> Any:
    """onnxruntime, or None if it is not installed."""
    if find_spec("onnxruntime") is None:
        return None
    return optional_import("onnxruntime", extra="onnx")
