"""clearprop: neural networks whose backpropagation can be seen, trusted and sped up.

PyTorch's conventions and numbers; one graph that is run, differentiated, drawn and explained.
"""

from __future__ import annotations

import importlib
import math
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
from clearprop.core.size import Size
from clearprop.errors import did_you_mean
from clearprop.flags import flags

double, half, long, short = float64, float16, int64, int16

e, inf, nan, newaxis, pi = math.e, math.inf, math.nan, None, math.pi

# Parts that not every program needs are imported when they are first named.
_LAZY = (
    "nn", "optim", "data", "func", "linalg", "distributions", "train", "explanation",
    "serialization", "special", "utils", "doctor", "accelerator", "amp", "backends", "cuda", "mps",
    "onnx", "random", "sklearn", "testing", "version", "xpu",
)  # fmt: skip
_LAZY_FROM = {
    "amp": "autocast",
    "explanation": "draw explain",
    "func": "vmap",
    "jit": "compile",
    "nn.functional": """
        adaptive_avg_pool1d adaptive_max_pool1d avg_pool1d bilinear celu celu_ cosine_similarity
        hardshrink max_pool1d max_pool1d_with_indices max_pool2d max_pool3d pairwise_distance prelu
        rms_norm rrelu rrelu_ selu selu_ threshold_
    """,
    "nn.functional.native": """
        alpha_dropout batch_norm dropout embedding feature_alpha_dropout group_norm instance_norm
        layer_norm threshold
    """,
    "random": "get_rng_state seed set_rng_state",
    "serialization": "load save",
    "settings": """
        are_deterministic_algorithms_enabled get_default_device get_float32_matmul_precision
        get_num_interop_threads get_num_threads is_inference_mode_enabled set_default_device
        set_float32_matmul_precision set_num_interop_threads set_num_threads
        use_deterministic_algorithms
    """,
}
_LAZY_NAMES = {
    name: f"clearprop.{module}" for module, names in _LAZY_FROM.items() for name in names.split()
}

# What programs for PyTorch may ask for, and why it is not here.
_LEFT_OUT = {
    "bfloat16": "NumPy has no such type; use float32",
    "complex64": "there are no complex numbers", "complex128": "there are no complex numbers",
    "cfloat": "there are no complex numbers", "cdouble": "there are no complex numbers",
    "view_as_complex": "there are no complex numbers",
    "view_as_real": "there are no complex numbers",
    "distributed": "one process computes; threads: compile(threads=n)",
    "multiprocessing": "one process computes; threads: compile(threads=n)",
    "hub": "load weights with load() or Module.load_state_dict",
    "jit": "use clearprop.compile instead of scripting",
    "profiler": "use CLEARPROP_DEBUG=2, which prints every kernel with its time",
    "quantization": "there are no quantised tensors",
    "sparse_coo_tensor": "there are no sparse tensors", "sparse": "there are no sparse tensors",
}  # fmt: skip

globals().update({name: getattr(ops, name) for name in ops.NAMES})
globals().update({"bool": bool_, "float": float32, "int": int32})


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return importlib.import_module(f"clearprop.{name}")
    if name in _LAZY_NAMES:
        return getattr(importlib.import_module(_LAZY_NAMES[name]), name)
    why = _LEFT_OUT.get(name)
    more = did_you_mean(name, __all__) if why is None else f": {why}"
    raise AttributeError(f"module 'clearprop' has no attribute {name!r}{more}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


__all__ = [
    "Generator", "Size", "Tensor", "__version__", "autograd", "default_generator", "device",
    "dtype", "e", "enable_grad", "finfo", "flags", "float16", "float32", "float64",
    "get_default_dtype", "get_printoptions", "iinfo", "inf", "inference_mode", "initial_seed",
    "int16", "int32", "int64", "int8", "is_grad_enabled", "manual_seed", "nan", "newaxis",
    "no_grad", "ops", "pi", "set_default_dtype", "set_grad_enabled", "set_printoptions", "uint8",
    *ops.NAMES, *_LAZY, *_LAZY_NAMES,
]  # fmt: skip
