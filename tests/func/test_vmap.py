"""vmap: one function of an example, run on all of them."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.core import TABLE, apply
from clearprop.func import grad, vmap

X = cp.arange(12.0).reshape(4, 3) / 10


def test_a_batch_is_one_run_per_example():
    f = lambda x: (x.tanh() @ cp.ones(3, 2)).logsumexp(0)
    rows = cp.stack([f(row) for row in X])
    np.testing.assert_allclose(vmap(f)(X).numpy(), rows.numpy(), rtol=1e-6)


def test_in_dims_and_out_dims_name_the_axis():
    y = vmap(lambda x, w: x * w, in_dims=(1, None), out_dims=1)(X, cp.tensor([1.0, 2.0, 3.0, 4.0]))
    assert y.shape == (4, 3)
    np.testing.assert_array_equal(y.numpy(), X.numpy() * np.arange(1, 5)[:, None].astype("f4"))
    assert vmap(lambda x: x, in_dims=-1, out_dims=-1)(X).shape == X.shape


def test_containers_of_tensors_go_in_and_out():
    batch = {"x": X, "scale": cp.tensor(2.0)}
    f = lambda b: {"y": b["x"] * b["scale"], "both": (b["x"].sum(), b["scale"])}
    out = vmap(f, in_dims=({"x": 0, "scale": None},))(batch)
    assert out["y"].shape == (4, 3) and out["both"][0].shape == (4,)
    assert out["both"][1].tolist() == [2.0] * 4  # one for all examples: repeated


def test_keyword_arguments_are_mapped_along_axis_0():
    out = vmap(lambda x, *, w: x * w)(X, w=cp.arange(4.0))
    np.testing.assert_allclose(out.numpy(), X.numpy() * np.arange(4.0)[:, None].astype("f4"))


def test_nested_vmaps_give_the_outer_product():
    a, b = cp.arange(3.0), cp.arange(4.0)
    table = vmap(lambda x: vmap(lambda y: x * y)(b))(a)
    np.testing.assert_array_equal(table.numpy(), np.outer(a.numpy(), b.numpy()))


def test_per_example_gradients_are_the_gradients_of_each_example():
    cp.manual_seed(1)
    net = cp.nn.Sequential(cp.nn.Linear(3, 5), cp.nn.Tanh(), cp.nn.Linear(5, 2))
    params = {k: v.detach() for k, v in net.named_parameters()}
    y = cp.tensor([0, 1, 1, 0])

    def loss(params, x, y):
        out = cp.func.functional_call(net, params, (x[None],))
        return cp.nn.functional.cross_entropy(out, y[None])

    each = vmap(grad(loss), in_dims=(None, 0, 0))(params, X, y)
    for i in range(4):
        net.zero_grad()
        cp.nn.functional.cross_entropy(net(X[i : i + 1]), y[i : i + 1]).backward()
        for name, p in net.named_parameters():
            np.testing.assert_allclose(each[name][i].numpy(), p.grad.numpy(), rtol=1e-5, atol=1e-7)
    assert not any(g.requires_grad for g in each.values())


def test_gradients_flow_through_vmap_to_what_it_was_given_and_to_what_it_closes_over():
    w = cp.tensor([1.0, 2.0, 3.0], requires_grad=True)
    x = X.clone().requires_grad_()
    vmap(lambda row: (row * w).sum() ** 2)(x).sum().backward()
    x2, w2 = X.clone().requires_grad_(), w.detach().clone().requires_grad_()
    ((x2 * w2).sum(1) ** 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), x2.grad.numpy(), rtol=1e-6)
    np.testing.assert_allclose(w.grad.numpy(), w2.grad.numpy(), rtol=1e-6)


def test_the_gradient_of_per_example_gradients():
    x = X.clone().requires_grad_()
    inner = vmap(grad(lambda row: (row**3).sum()))
    (inner(x) ** 2).sum().backward()  # sum (3 x^2)^2: derivative 36 x^3
    np.testing.assert_allclose(x.grad.numpy(), 36 * X.numpy() ** 3, rtol=1e-5)


def test_in_place_operations_write_to_every_example():
    def f(x):
        y = x.clone()
        y[0] = 7.0
        y.mul_(2)
        y[1:].add_(x[:2])
        return y

    wanted = cp.stack([f(row) for row in X])
    np.testing.assert_allclose(vmap(f)(X).numpy(), wanted.numpy())


def test_writing_examples_into_one_shared_tensor_is_refused():
    shared = cp.zeros(3)

    def f(x):
        shared.add_(x)
        return x

    with pytest.raises(RuntimeError, match="vmap: an in-place operation writes values that differ"):
        vmap(f)(X)
    assert shared.tolist() == [0.0, 0.0, 0.0]


def test_looking_at_a_mapped_value_is_refused_and_at_another_is_not():
    limit = cp.tensor(0.5)
    vmap(lambda x: x * limit.item())(X)
    for look in (lambda x: x.sum().item(), lambda x: x if x.sum() > 0 else -x):
        with pytest.raises(RuntimeError, match=r"vmap: It looks like you're calling (item|bool)"):
            vmap(look)(X)


def test_random_numbers_must_say_whether_examples_share_them():
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(lambda x: x + cp.rand(3))(X)
    same = vmap(lambda x: x * 0 + cp.rand(3), randomness="same")(X)
    assert all(row.tolist() == same[0].tolist() for row in same)
    cp.manual_seed(3)
    rows = [cp.rand(3).tolist() for _ in range(4)]
    cp.manual_seed(3)
    other = vmap(lambda x: x * 0 + cp.rand(3), randomness="different")(X)
    assert other.tolist() == rows


def test_chunks_give_the_same_results():
    f = lambda x: {"y": x.exp(), "s": x.sum()}
    whole, parts = vmap(f)(X), vmap(f, chunk_size=3)(X)
    assert all(whole[k].tolist() == parts[k].tolist() for k in whole)


def test_no_examples_at_all():
    assert vmap(lambda x: x.sum())(cp.zeros(0, 3)).shape == (0,)


def test_traced_and_compiled_it_is_the_same():
    w = cp.tensor([1.0, 2.0, 3.0], requires_grad=True)
    f = vmap(grad(lambda w, x: ((x * w).sum() - 1) ** 2), in_dims=(None, 0))
    compiled = cp.compile(lambda x: f(w, x))
    np.testing.assert_allclose(compiled(X).detach().numpy(), f(w, X).detach().numpy(), rtol=1e-5)


def test_a_block_of_ones_own_runs_on_a_batch():
    class Cube(cp.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x * x

    x = X.clone().requires_grad_()
    inner = vmap(grad(lambda row: Cube.apply(row).sum()))(X)
    np.testing.assert_allclose(inner.numpy(), 3 * X.numpy() ** 2, rtol=1e-6)
    y = vmap(lambda row: Cube.apply(row).sum())(x).sum()
    (g,) = cp.autograd.grad(y, x, create_graph=True)
    np.testing.assert_allclose(g.detach().numpy(), 3 * X.numpy() ** 2, rtol=1e-6)
    g.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 6 * X.numpy(), rtol=1e-6)


def test_a_block_that_keeps_its_output_and_takes_a_shared_tensor():
    class ScaledExp(cp.autograd.Function):
        @staticmethod
        def forward(ctx, w, x):
            y = (w * x).exp()
            ctx.save_for_backward(w, x, y)
            return y

        @staticmethod
        def backward(ctx, g):
            w, x, y = ctx.saved_tensors
            return (g * y * x).sum(), g * y * w

    def second(run):
        w = cp.tensor(0.5, requires_grad=True)
        (g,) = cp.autograd.grad(run(w).sum(), w, create_graph=True)
        (h,) = cp.autograd.grad(g, w)
        return g.item(), h.item()

    got = second(lambda w: vmap(lambda row: ScaledExp.apply(w, row))(X))
    wanted = second(lambda w: (w * X).exp())
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "phrase"),
    [
        (lambda: vmap(lambda: 1)(), "no inputs"),
        (lambda: vmap(lambda x, y: x, in_dims=0)(X, cp.zeros(5)), "same size in the mapped"),
        (lambda: vmap(lambda x: x, in_dims=2)(X), "Got in_dim=2 for input 0"),
        (lambda: vmap(lambda x, y: x, in_dims=(0,))(X, X), "not compatible with the structure"),
        (lambda: vmap(lambda x: x, in_dims=None)(X), "at least one Tensor"),
        (lambda: vmap(lambda x: 3)(X), "must only return Tensors"),
        (lambda: vmap(lambda x: x, out_dims=None)(X), "out_dims is None"),
        (lambda: vmap(lambda x: x, randomness="no")(X), "Only allowed values for randomness"),
    ],
)
def test_mistakes_are_named(call, phrase):
    with pytest.raises(ValueError, match=phrase):
        call()


def test_a_primitive_runs_once_for_all_examples():
    calls = []
    tanh = TABLE["tanh"]
    eager = tanh.eager
    object.__setattr__(tanh, "eager", lambda x: calls.append(x.shape) or eager(x))
    try:
        vmap(lambda x: apply(tanh, x))(X)
    finally:
        object.__setattr__(tanh, "eager", eager)
    assert calls == [(4, 3)]
