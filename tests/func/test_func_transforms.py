"""grad, vjp, jvp, Jacobians and Hessians as functions, against formulas."""

import numpy as np
import pytest

import clearprop as cp
from clearprop.func import (
    functional_call,
    grad,
    grad_and_value,
    hessian,
    hvp,
    jacfwd,
    jacrev,
    jvp,
    linearize,
    stack_module_state,
    value_and_grad,
    vjp,
    vmap,
)

D = cp.float64
x0 = cp.tensor([0.3, -0.7, 1.1], dtype=D)
A = cp.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], dtype=D)


def close(a, b, tol=1e-10):
    np.testing.assert_allclose(a.detach().numpy(), np.asarray(b), atol=tol, rtol=tol)


def test_grad_of_grad_of_grad():
    f = lambda x: x.sin()
    for n, wanted in enumerate((np.cos, lambda t: -np.sin(t), lambda t: -np.cos(t))):
        g = f
        for _ in range(n + 1):
            g = grad(g)
        y = g(cp.tensor(0.4, dtype=D))
        close(y, wanted(0.4))
        assert not y.requires_grad


def test_values_and_aux_come_along():
    f = lambda x: ((x * x).sum(), {"twice": 2 * x})
    g, (value, aux) = grad_and_value(f, has_aux=True)(x0)
    (
        close(g, 2 * x0.numpy()),
        close(value, (x0.numpy() ** 2).sum()),
        close(aux["twice"], 2 * x0.numpy()),
    )
    (value, _), g = value_and_grad(f, has_aux=True)(x0)
    close(g, 2 * x0.numpy())
    g, aux = grad(f, has_aux=True)(x0)
    assert not aux["twice"].requires_grad


def test_argnums_and_nested_arguments():
    f = lambda a, b: (a["w"] * b[0] * b[1]).sum()
    a, b = {"w": x0}, (x0 + 1, x0 + 2)
    ga, gb = grad(f, (0, 1))(a, b)
    close(ga["w"], ((x0 + 1) * (x0 + 2)).numpy())
    close(gb[1], (x0 * (x0 + 1)).numpy())
    close(grad(f, -1)(a, b)[0], (x0 * (x0 + 2)).numpy())


def test_what_is_not_used_has_gradient_zero():
    gx, gy = grad(lambda x, y: x.sum(), (0, 1))(x0, x0)
    assert gx.tolist() == [1.0] * 3 and gy.tolist() == [0.0] * 3


def test_the_arguments_and_their_gradients_are_left_alone():
    x = x0.clone().requires_grad_()
    before = x.grad
    g = grad(lambda t: (t**2).sum())(x)
    assert x.grad is before and g.requires_grad  # x goes on to be differentiable
    g.sum().backward()
    close(x.grad, np.full(3, 2.0))


def test_a_transform_inside_is_constant_for_what_it_closes_over():
    # d/dx [ x * d/dy (x + y) ] = 1: perturbations are not confused
    f = lambda x: x * grad(lambda y: x + y)(cp.tensor(1.0, dtype=D))
    close(grad(f)(cp.tensor(1.0, dtype=D)), 1.0)
    g = lambda x: x * grad(lambda y: x * y)(cp.tensor(1.0, dtype=D))
    close(grad(g)(cp.tensor(3.0, dtype=D)), 6.0)


def test_no_grad_outside_does_not_switch_a_transform_off():
    with cp.no_grad():
        close(grad(lambda x: (x**2).sum())(x0), 2 * x0.numpy())


def test_vjp_and_jvp_are_transposes():
    f = lambda x: (A @ x).tanh()
    y, pull = vjp(f, x0)
    u, v = cp.tensor([0.2, -1.0], dtype=D), cp.tensor([1.0, 2.0, -0.5], dtype=D)
    y2, pushed = jvp(f, (x0,), (v,))
    close(y, y2.numpy())
    close((u * pushed).sum(), (pull(u)[0] * v).sum().item())
    jac = (1 - np.tanh(A.numpy() @ x0.numpy()) ** 2)[:, None] * A.numpy()
    close(pushed, jac @ v.numpy())
    close(pull(u)[0], u.numpy() @ jac)


def test_linearize_pushes_many_tangents_without_running_the_function_again():
    runs = []

    def f(x):
        runs.append(1)
        return {"y": x.exp()}

    _, push = linearize(f, x0)
    for scale in (1.0, 2.0):
        close(push(scale * x0)["y"], np.exp(x0.numpy()) * scale * x0.numpy())
    assert runs == [1]


def test_jvp_of_several_inputs_and_outputs_with_aux():
    f = lambda x, y: ((x * y, x.sum()), y)
    _, pushed, aux = jvp(f, (x0, x0 + 1), (x0, 2 * x0), has_aux=True)
    close(pushed[0], (x0 * (x0 + 1) + x0 * 2 * x0).numpy())
    close(pushed[1], x0.sum().item())
    close(aux, (x0 + 1).numpy())


def test_an_independent_output_has_derivative_zero_or_is_refused():
    f = lambda x: cp.ones(2, dtype=D)
    assert jvp(f, (x0,), (x0,))[1].tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="independent of the inputs"):
        jvp(f, (x0,), (x0,), strict=True)


@pytest.mark.parametrize("jac", [jacrev, jacfwd])
def test_jacobians_of_matrices_have_the_axes_of_output_then_input(jac):
    w = cp.arange(6.0, dtype=D).reshape(2, 3) / 7
    f = lambda w, x: (w @ x).sin()
    jw, jx = jac(f, (0, 1))(w, x0)
    cos = np.cos(w.numpy() @ x0.numpy())
    close(jx, cos[:, None] * w.numpy())
    wanted = np.zeros((2, 2, 3))
    for i in range(2):
        wanted[i, i] = cos[i] * x0.numpy()
    close(jw, wanted)
    assert not jw.requires_grad


@pytest.mark.parametrize("jac", [jacrev, jacfwd])
def test_jacobians_of_containers_with_aux(jac):
    f = lambda p: ({"a": p["x"] ** 2, "b": p["x"].sum()}, p["x"])
    out, aux = jac(f, has_aux=True)({"x": x0})
    close(out["a"]["x"], np.diag(2 * x0.numpy()))
    close(out["b"]["x"], np.ones(3))
    close(aux, x0.numpy())


def test_jacobians_nest_and_can_be_differentiated():
    f = lambda x: (x**4).sum()
    wanted = np.diag(12 * x0.numpy() ** 2)
    for inner in (jacrev, jacfwd):
        for outer in (jacrev, jacfwd):
            close(outer(inner(f))(x0), wanted)
    close(hessian(f)(x0), wanted)
    third = jacfwd(hessian(f))(x0)
    close(third[0, 0, 0], 24 * x0[0].item())
    x = x0.clone().requires_grad_()
    hessian(f)(x).sum().backward()
    close(x.grad, 24 * x0.numpy())


def test_chunks_of_a_jacobian():
    f = lambda x: (A @ x).exp()
    close(jacrev(f, chunk_size=1)(x0), jacrev(f)(x0).numpy())
    close(jacfwd(f, chunk_size=2)(x0), jacrev(f)(x0).numpy())


def test_hvp_is_the_hessian_times_a_vector():
    f = lambda x: (A @ x).cosh().sum()
    v = cp.tensor([1.0, -2.0, 0.5], dtype=D)
    g, product = hvp(f, (x0,), (v,))
    close(product[0], hessian(f)(x0).numpy() @ v.numpy())
    close(g[0], grad(f)(x0).numpy())
    assert not product[0].requires_grad


def test_hessians_of_many_points():
    points = cp.stack([x0, 2 * x0])
    each = vmap(hessian(lambda x: (x**3).sum()))(points)
    for i in range(2):
        close(each[i], np.diag(6 * points[i].numpy()))


def test_transforms_compile():
    f = lambda x: (A @ x).tanh().sum()
    for t in (grad(f), hessian(f), jacrev(lambda x: (A @ x).tanh())):
        close(cp.compile(t)(x0), t(x0).numpy(), 1e-9)


@pytest.mark.parametrize(
    ("call", "phrase"),
    [
        (lambda: grad(lambda x: x)(x0), "scalar tensor, got tensor with 1 dims"),
        (lambda: grad(lambda x: 3.0)(x0), "return a Tensor, got float"),
        (lambda: grad(lambda x: x.sum(), 1)(x0), "Got argnum=1, but only 1 positional"),
        (lambda: grad(lambda x, y: x.sum(), (0, 0))(x0, x0), "must be unique"),
        (lambda: grad(lambda x: x.sum())(3.0), "to be Tensors, got float"),
        (lambda: grad(lambda x: x.sum())(cp.arange(3)), "only floating-point tensors"),
        (lambda: grad(lambda x: x.sum(), has_aux=True)(x0), "tuple \\(output, aux\\)"),
        (lambda: jvp(cp.sin, x0, x0), "Expected primals to be a tuple"),
        (lambda: jvp(cp.sin, (x0,), (x0[:2],)), "same structure and shapes"),
        (lambda: vjp(lambda x: (x, 1), x0), "return Tensors"),
        (lambda: vjp(cp.sin, x0)[1](x0, x0), "structure of the cotangents"),
    ],
)
def test_mistakes_are_named(call, phrase):
    with pytest.raises(RuntimeError, match=phrase):
        call()


def net():
    cp.manual_seed(2)
    return cp.nn.Sequential(cp.nn.Linear(3, 4), cp.nn.Tanh(), cp.nn.Linear(4, 2)).double()


def test_functional_call_uses_the_given_tensors_and_puts_the_own_ones_back():
    model = net()
    before = dict(model.named_parameters())
    given = {k: v.detach() * 2 for k, v in before.items()}
    y = functional_call(model, given, (x0,))
    twin = net()
    twin.load_state_dict(given)
    close(y, twin(x0).detach().numpy())
    assert all(p is before[k] for k, p in model.named_parameters())
    y = functional_call(model, {"0.bias": given["0.bias"]}, x0)  # some, and no tuple
    assert y.requires_grad
    with pytest.raises(KeyError, match=r"no parameter or buffer '0.wait'; did you mean '0.weight'"):
        functional_call(model, {"0.wait": x0}, (x0,))
    with pytest.raises(RuntimeError, match="Missing key"):
        functional_call(model, {"0.bias": x0}, (x0,), strict=True)
    with pytest.raises(ValueError, match="appeared in multiple"):
        functional_call(model, ({"0.bias": x0}, {"0.bias": x0}), (x0,))


def test_tied_weights_are_given_once():
    class Tied(cp.nn.Module):
        def __init__(self):
            super().__init__()
            self.a = cp.nn.Linear(3, 3, bias=False).double()
            self.b = self.a

        def forward(self, x):
            return self.b(self.a(x))

    w = cp.eye(3, dtype=D) * 2
    close(functional_call(Tied(), {"a.weight": w}, (x0,)), 4 * x0.numpy())
    with pytest.raises(ValueError, match="one tied parameter"):
        functional_call(Tied(), {"a.weight": w, "b.weight": w * 1}, (x0,))


def test_an_ensemble_runs_as_one():
    models = [net() for _ in range(3)]
    for i, m in enumerate(models):
        with cp.no_grad():
            m[0].weight.mul_(i + 1)
    params, buffers = stack_module_state(models)
    base = net()
    out = vmap(lambda p, b, x: functional_call(base, (p, b), (x,)), in_dims=(0, 0, None))(
        params, buffers, x0
    )
    for i, m in enumerate(models):
        close(out[i], m(x0).detach().numpy())
    assert params["0.weight"].requires_grad and params["0.weight"].is_leaf
    with pytest.raises(RuntimeError, match="at least one model"):
        stack_module_state([])


def test_a_compiled_step_over_functional_call_is_traced_once():
    model = net()
    step = cp.compile(lambda p, x: functional_call(model, p, (x,)).sum())
    params = {k: v.detach() for k, v in model.named_parameters()}
    for scale in (1.0, 2.0, 3.0):
        given = {k: v * scale for k, v in params.items()}
        close(step(given, x0), functional_call(model, given, (x0,)).sum().item(), 1e-9)
    assert sum(map(len, step.versions.values())) == 1
