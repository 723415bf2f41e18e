"""Every public op under `clearprop.compile`: values and gradients are those of eager mode; an op
whose shape or choice depends on values raises TraceError with the user's line. Layers, losses and
optimizers are compared in test_compiled.py.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import clearprop as cp
from clearprop.core.tree import tensors_in
from clearprop.errors import TraceError
from every_op import (
    ARRAYS,
    ELSEWHERE,
    Call,
    all_calls,
    evaluate,
    names_in,
    namespace,
    own_calls,
    public_ops,
    without_a_call,
)

# What they return has a shape, or is a Python value, that only the values of their inputs tell.
KNOWS_VALUES = {
    *"""
    allclose equal is_nonzero nonzero argwhere masked_select unique unique_consecutive bincount
    Tensor.item Tensor.tolist Tensor.apply_ Tensor.map_ Tensor.stride Tensor.is_contiguous
    Tensor.allclose Tensor.equal Tensor.is_nonzero Tensor.nonzero Tensor.argwhere
    Tensor.masked_select Tensor.unique Tensor.unique_consecutive Tensor.bincount
    """.split(),
    # ... with these arguments
    *"""
    where(K)|one_hot(J)|F.one_hot(I)|repeat_interleave(V, H4)|repeat_interleave(H4)|X[K]|X[K.any(1)]
    |V.repeat_interleave(H4)|H4.repeat_interleave()
    """.strip()
    .replace("\n", "")
    .replace("    |", "|")
    .split("|"),
}


def knows_values(call: Call) -> bool:
    return call.op in KNOWS_VALUES or call.text in KNOWS_VALUES


def of_tensors(calls: tuple[Call, ...]) -> list[Call]:
    return [call for call in calls if names_in(call.text)]


def parameters() -> list:
    """The first call of each op, and by night the others, and those of methods."""
    seen: set[str] = set()
    out = []
    for call in of_tensors(all_calls()):
        first = call.op not in seen and call in own_calls()
        seen.add(call.op)
        out.append(pytest.param(call, id=call.text, marks=() if first else pytest.mark.nightly))
    return out


def as_function(text: str, names: list[str], wanted: list[int]):
    """The call as a function of tensors: its results and the gradients of their squares."""

    def call(*xs):
        found = evaluate(cp, text, dict(zip(names, xs, strict=True)))
        out = list(tensors_in(found))
        total = sum((y * y).sum() for y in out if y.requires_grad)
        inputs = [xs[i] for i in wanted]
        if not isinstance(total, cp.Tensor) or not inputs:
            return out or found, ()
        return out, cp.autograd.grad(total, inputs, materialize_grads=True, allow_unused=True)

    return call


def given(names: list[str]) -> list[cp.Tensor]:
    xs = [cp.tensor(ARRAYS[name]) for name in names]
    return [x.requires_grad_(x.is_floating_point()) for x in xs]


@pytest.mark.parametrize("call", parameters())
def test_an_op_compiled_is_the_op(call):
    names = names_in(call.text)
    xs = given(names)
    function = as_function(call.text, names, [i for i, x in enumerate(xs) if x.requires_grad])
    compiled = cp.compile(function)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        wanted = function(*xs)
        if knows_values(call):
            with pytest.raises(TraceError, match=r"a_program\.py:1"):
                compiled(*given(names))
            return
        got = compiled(*given(names))
    if not list(tensors_in(wanted)):
        assert got == wanted
    for a, b in zip(tensors_in(got), tensors_in(wanted), strict=True):
        a, b = a.detach().numpy(), b.detach().numpy()
        assert a.dtype == b.dtype and a.shape == b.shape
        rough = a.dtype.itemsize < 8 or "float32" in call.text or ".half" in call.text
        near = (2e-3 if ".half" in call.text else 2e-5) if rough else 1e-9
        np.testing.assert_allclose(a, b, near, near)


def test_every_public_op_has_a_call():
    assert without_a_call(public_ops()) == set()
    assert set(ELSEWHERE) <= public_ops()


def test_an_op_without_a_call_is_found():
    assert without_a_call(public_ops() | {"tanhh", "Tensor.tanhh"}) == {"tanhh", "Tensor.tanhh"}


def test_a_wrong_number_is_found(monkeypatch):
    call = next(c for c in own_calls() if c.text == "tanh(X)")
    answers = iter([1.0, 1.0 + 1e-6])
    plain = cp.tanh
    monkeypatch.setitem(namespace(cp), "tanh", lambda x: plain(x) * next(answers))
    with pytest.raises(AssertionError):
        test_an_op_compiled_is_the_op(call)
