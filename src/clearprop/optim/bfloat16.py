"""Rounding to bfloat16: float32 with 8 significant bits, which Muon computes with."""

from __future__ import annotations

import numpy as np

from clearprop.core import Aval, Example, Opaque, Tensor, apply, float32, primitive


def _round(x: np.ndarray) -> np.ndarray:
    bits = np.ascontiguousarray(x).view(np.uint32)
    # half a unit of the last place that stays, less one if that place is even: ties go to even
    kept = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(
        0xFFFF0000
    )
    return np.where(np.isnan(x), x, kept.view(np.float32).reshape(x.shape))


bfloat16_p = primitive(
    "round_to_bfloat16",
    doc="The nearest number with 8 significant bits, ties to even, in float32.",
    eager=_round,
    shape=lambda x: x,
    vjp=(None,),
    lower=Opaque("looks at the bits of a number"),
    examples=(Example((Aval((3, 4), float32),), {}), Example((Aval((), float32),), {})),
)


def as_bfloat16(x: Tensor) -> Tensor:
    """x, a float32 tensor, rounded to bfloat16's digits; no gradient passes.

    >>> import clearprop as cp
    >>> from clearprop.optim.bfloat16 import as_bfloat16
    >>> as_bfloat16(cp.tensor([1.0, 1.01])).tolist()
    [1.0, 1.0078125]
    """
    return apply(bfloat16_p, x)
