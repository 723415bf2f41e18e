"""Which kernel of its own an equation gets."""

from __future__ import annotations

import math

from clearprop.core import Contract, Indexed, Pool, Scan
from clearprop.graph import Equation
from clearprop.jit.access import Access
from clearprop.jit.correlation import Convolve
from clearprop.jit.indexing import by_index
from clearprop.jit.pooling import ByWinner, MaxPool, SumPool, windows_of
from clearprop.jit.scan import Running
from clearprop.jit.special import Special
from clearprop.jit.weightsum import WeightSum

FLOATS = ("f32", "f64")
LARGEST_WINDOW = 256  # elements that are written out one by one


def special_of(equation: Equation, inputs: tuple[Access, ...]) -> Special | None:
    """The kernel, if there is one."""
    out, p = equation.outputs[0], equation.params
    d = out.aval.dtype.short
    if any(not v.aval.size for v in (*equation.inputs, *equation.outputs)):
        return None
    match equation.prim.lower:
        case Indexed() as kind if kind.writes in (None, "set") or d != "f16":
            return by_index(equation, inputs, kind)
        case Scan(combine=combine) if d != "f16":
            dim = p["dim"] % len(inputs[0].shape)
            return Running(equation, inputs, out, 0, combine=combine, dim=dim)
        case Contract(form="windows") if d in FLOATS:
            return Convolve(equation, inputs, out)
        case Contract(form="windows, input") if d in FLOATS:
            return Convolve(equation, inputs, out, size=p["size"])
        case Contract(form="windows, weight") if d in FLOATS:
            return WeightSum(equation, inputs, out)
        case Pool() as kind if d in FLOATS:
            return _pool(equation, inputs, kind)
    return None


def _pool(equation: Equation, inputs: tuple[Access, ...], kind: Pool) -> Special | None:
    out, *more = equation.outputs
    p = equation.params
    axes = len(p["kernel"])
    size = p["size"] if kind.part == "input" else inputs[0].shape[-axes:]
    places = inputs[0].shape[-axes:] if kind.part == "input" else out.aval.shape[-axes:]
    windows = windows_of(size, places, p)
    if kind.combine == "add":
        return SumPool(equation, inputs, out, windows=windows, adjoint=kind.part == "input")
    if not windows.meet or math.prod(p["kernel"]) > LARGEST_WINDOW:
        return None
    if not kind.part:
        return MaxPool(equation, inputs, out, more=tuple(more), windows=windows)
    return ByWinner(equation, inputs, out, windows=windows, reads=kind.part == "pick")
