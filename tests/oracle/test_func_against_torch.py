"""clearprop.func and autograd.functional beside torch.func and torch.autograd.functional."""

import numpy as np
import pytest

import clearprop as cp

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(5)
W = RNG.standard_normal((3, 4))
X = RNG.standard_normal((5, 4))
V = RNG.standard_normal((5, 4))


def both(f, *arrays):
    """f(library, tensors) in both, as nested lists of arrays."""
    ours = f(cp, *(cp.tensor(a) for a in arrays))
    theirs = f(torch, *(torch.tensor(a) for a in arrays))
    a, b = flat(ours), flat(theirs)
    assert len(a) == len(b) > 0
    for x, y in zip(a, b, strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-9)


def flat(tree):
    if isinstance(tree, tuple | list):
        return [x for part in tree for x in flat(part)]
    if isinstance(tree, dict):
        return [x for key in sorted(tree) for x in flat(tree[key])]
    return [tree.detach().numpy()]


def layer(t, w, x):
    return t.tanh(w @ x)


PROGRAMS = {
    "grad": lambda t, w, x: t.func.grad(lambda w: layer(t, w, x[0]).sum())(w),
    "grad of two": lambda t, w, x: t.func.grad(lambda w, x: layer(t, w, x).sum(), (0, 1))(w, x[0]),
    "grad_and_value": lambda t, w, x: t.func.grad_and_value(lambda w: layer(t, w, x[0]).sum())(w),
    "per example": lambda t, w, x: t.func.vmap(
        t.func.grad(lambda w, x: (layer(t, w, x) ** 2).sum()), in_dims=(None, 0)
    )(w, x),
    "vjp": lambda t, w, x: t.func.vjp(lambda w, x: layer(t, w, x), w, x[0])[1](w[:, 0]),
    "jvp": lambda t, w, x: t.func.jvp(lambda x: layer(t, w, x), (x[0],), (x[1],)),
    "linearize": lambda t, w, x: t.func.linearize(lambda x: layer(t, w, x), x[0])[1](x[1]),
    "jacrev": lambda t, w, x: t.func.jacrev(lambda w, x: layer(t, w, x), (0, 1))(w, x[0]),
    "jacfwd": lambda t, w, x: t.func.jacfwd(lambda w, x: layer(t, w, x), (1, 0))(w, x[0]),
    "hessian": lambda t, w, x: t.func.hessian(lambda x: layer(t, w, x).sum())(x[0]),
    "hessian blocks": lambda t, w, x: t.func.hessian(lambda w, x: layer(t, w, x).prod(), (0, 1))(
        w, x[0]
    ),
    "hessians": lambda t, w, x: t.func.vmap(t.func.hessian(lambda x: layer(t, w, x).sum()))(x),
    "out_dims": lambda t, w, x: t.func.vmap(
        lambda x: (layer(t, w, x), x.sum()), in_dims=1, out_dims=(1, 0)
    )(x[:4].T),
    "ops on a batch": lambda t, w, x: t.func.vmap(
        lambda x: (
            t.softmax(x, 0), x.cumsum(0), x.max(), t.stack([x, 2 * x], 1), t.cat([x, x]), x.flip(0),
            x[:2].repeat(2), x.reshape(2, 2).T.flatten(), x[x.argmax()[None]], t.where(x > 0, x, 0),
            x.unsqueeze(0).expand(3, 4), x.var(), x.norm(), (x[:, None] * x[None]).tril(),
        )
    )(x),
    "functional.jacobian": lambda t, w, x: t.autograd.functional.jacobian(
        lambda w, x: layer(t, w, x), (w, x[0])
    ),
    "functional.hessian": lambda t, w, x: t.autograd.functional.hessian(
        lambda w, x: layer(t, w, x).sum(), (w, x[0])
    ),
    "functional.vjp": lambda t, w, x: t.autograd.functional.vjp(
        lambda x: layer(t, w, x), x[0], w[:, 0]
    ),
    "functional.jvp": lambda t, w, x: t.autograd.functional.jvp(
        lambda x: layer(t, w, x), x[0], x[1]
    ),
    "functional.hvp": lambda t, w, x: t.autograd.functional.hvp(
        lambda x: layer(t, w, x).sum(), x[0], x[1]
    ),
    "functional.vhp": lambda t, w, x: t.autograd.functional.vhp(
        lambda x: layer(t, w, x).sum(), x[0], x[1]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_same_program_gives_the_same_numbers(name):
    both(PROGRAMS[name], W, X)


WRONG = {
    "no scalar": lambda t: t.func.grad(lambda x: x)(t.ones(3)),
    "no tensor": lambda t: t.func.grad(lambda x: 1.0)(t.ones(3)),
    "in_dims": lambda t: t.func.vmap(lambda x: x, in_dims=3)(t.ones(3)),
    "sizes": lambda t: t.func.vmap(lambda x, y: x)(t.ones(3), t.ones(4)),
    "item": lambda t: t.func.vmap(lambda x: x.item())(t.ones(3)),
    "random": lambda t: t.func.vmap(lambda x: x + t.rand(2))(t.ones(3, 2)),
    "shared target": lambda t: t.func.vmap(lambda y, x: y.add_(x), in_dims=(None, 0))(
        t.ones(2), t.ones(3, 2)
    ),
    "no such parameter": lambda t: t.func.functional_call(
        t.nn.Linear(2, 2), {"weigth": t.ones(2, 2)}, (t.ones(2),), strict=True
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_same_mistake_raises_the_same_type(name):
    with pytest.raises(Exception) as theirs:
        WRONG[name](torch)
    with pytest.raises(type(theirs.value)):
        WRONG[name](cp)
