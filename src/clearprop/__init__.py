"""clearprop: neural networks whose backpropagation can be seen, trusted and sped up.

PyTorch's conventions and numbers; one graph that is run, differentiated, drawn and explained.
"""

from __future__ import annotations

import importlib
from typing import Any

from clearprop import autograd, ops
from clearprop._version import __version__
from clearprop.autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)
from clearprop.core import (
    Tensor,
    bool_,
    device,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    set_default_dtype,
    uint8,
)
from clearprop.core.printing import get_printoptions, set_printoptions
from clearprop.core.random import Generator, default_generator, initial_seed, manual_seed
from clearprop.flags import flags

double, half, long, short = float64, float16, int64, int16

# Parts that not every program needs are imported when they are first named.
_LAZY = (
    "nn", "optim", "data", "func", "linalg", "distributions", "train", "explanation",
    "serialization", "special", "utils", "doctor",
)  # fmt: skip
_LAZY_NAMES = {
    "save": "clearprop.serialization", "load": "clearprop.serialization",
    "draw": "clearprop.explanation", "compile": "clearprop.jit",
    "vmap": "clearprop.func",
}  # fmt: skip

globals().update({name: getattr(ops, name) for name in ops.NAMES})
globals().update({"bool": bool_, "float": float32, "int": int32})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"clearprop.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(_LAZY_NAMES[name]), name)
    raise AttributeError(f"module 'clearprop' has no attribute {name!r}")


__all__ = [
    "Generator", "Tensor", "__version__", "autograd", "default_generator", "device", "dtype",
    "enable_grad", "finfo", "flags", "float16", "float32", "float64", "get_default_dtype",
    "get_printoptions", "iinfo", "inference_mode", "initial_seed", "int16", "int32", "int64",
    "int8", "is_grad_enabled", "manual_seed", "no_grad", "ops", "set_default_dtype",
    "set_grad_enabled", "set_printoptions", "uint8", *ops.NAMES, *_LAZY, *_LAZY_NAMES,
]  # fmt: skip
