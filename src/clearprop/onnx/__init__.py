"""ONNX files: networks written for other programs, and networks of other programs read.

The extra `onnx` is needed as soon as one of the names is used: pip install 'clearprop[onnx]'.
"""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "ExportError": "clearprop.onnx.library",
    "Exported": "clearprop.onnx.exporting",
    "ImportRefused": "clearprop.onnx.library",
    "export": "clearprop.onnx.exporting",
    "load": "clearprop.onnx.importing",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'clearprop.onnx' has no attribute {name!r}")


__all__ = ["ExportError", "Exported", "ImportRefused", "export", "load"]
