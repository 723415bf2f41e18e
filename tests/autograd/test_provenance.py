"""Every node knows the user's line and the path of the module that made it."""

from __future__ import annotations

import inspect

import pytest

import clearprop as cp


def line():
    """The line of the caller."""
    return inspect.currentframe().f_back.f_lineno


def leaf():
    return cp.tensor([[0.5, 0.6], [0.7, 0.8]], requires_grad=True)


OPS = {
    "operator": lambda x: x + x,
    "operator with a number": lambda x: 2 * x,
    "method": lambda x: x.exp(),
    "function": lambda x: cp.exp(x),
    "reduction": lambda x: x.sum(),
    "composite": lambda x: cp.logsumexp(x, 0),
    "matmul": lambda x: x @ x,
    "view": lambda x: x.reshape(4),
    "index": lambda x: x[0],
    "concatenation": lambda x: cp.cat([x, x]),
    "several outputs": lambda x: x.sort()[0],
    "loss": lambda x: cp.nn.functional.mse_loss(x, x.detach() * 2),
    "in place": lambda x: (x * 1).mul_(x),
    "block": lambda x: Twice.apply(x),
}


class Twice(cp.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


@pytest.mark.parametrize("name", OPS)
def test_location_is_the_users_line(name):
    f = OPS[name]
    node = f(leaf()).grad_fn
    place = getattr(node, "main", node).location
    assert place.file == __file__
    assert place.line == f.__code__.co_firstlineno
    assert place.function.endswith("<lambda>")
    assert place.text.startswith(f'"{name}": ')


def test_location_is_the_line_of_the_call_not_of_the_function():
    x = leaf()
    y = (
        x + x.exp()  #
    )
    first = line() - 4
    assert first <= y.node.location.line <= first + 2
    assert y.node.location.function == inspect.currentframe().f_code.co_qualname
    z = x.exp()
    assert z.node.location.line == line() - 1
    assert z.node.location.text == "z = x.exp()"
    assert str(z.node.location) == f"{__file__}:{z.node.location.line}"


def test_location_inside_a_helper_is_the_helpers_line():
    def helper(x):
        return x * 3

    y = helper(leaf())
    assert y.node.location.line == helper.__code__.co_firstlineno + 1
    assert y.node.location.text == "return x * 3"


def test_location_of_a_layer_is_where_the_layer_was_called():
    y = cp.nn.Linear(2, 3)(leaf())
    assert y.grad_fn.location.line == line() - 1
    assert y.grad_fn.location.file == __file__


def test_code_without_a_file_has_a_line_but_no_text():
    names = {"x": leaf()}
    exec(compile("\n\ny = x * 2", "<typed in>", "exec"), names)
    place = names["y"].node.location
    assert (place.file, place.line, place.text) == ("<typed in>", 3, "")


def net():
    return cp.nn.Sequential(
        cp.nn.Linear(2, 2), cp.nn.Sequential(cp.nn.Tanh(), cp.nn.Linear(2, 1)), cp.nn.Sigmoid()
    )


def test_path_is_the_name_from_the_root():
    y = net()(leaf())
    found, stack = [], [y.grad_fn]
    while stack:
        node = stack.pop()
        if isinstance(getattr(node, "path", None), str):
            found.append(node.path)
            stack += [n for n, _ in node.next_functions if n is not None]
    assert list(dict.fromkeys(found)) == [
        "Sequential.2",
        "Sequential.1.1",
        "Sequential.1.0",
        "Sequential.0",
    ]


def test_path_is_empty_outside_modules_and_after_a_call():
    model, x = net(), leaf()
    assert (x * 2).node.path == ""
    model(x)
    assert (x * 2).node.path == ""


def test_path_is_right_after_a_module_raised():
    with pytest.raises(RuntimeError):
        net()(cp.ones(1, 7, requires_grad=True))
    assert (leaf() * 2).node.path == ""


def test_a_module_that_its_parent_does_not_register_is_in_brackets():
    hidden = cp.nn.Tanh()

    class Net(cp.nn.Module):
        def forward(self, x):
            return hidden(x)

    assert Net()(leaf()).node.path == "Net.[Tanh]"


def test_a_shared_module_is_named_by_its_first_name():
    shared = cp.nn.Tanh()
    assert cp.nn.Sequential(shared, shared)(leaf()).node.path == "Sequential.0"


def test_repr_and_describe_name_op_and_line():
    y = leaf() * 2
    assert repr(y.node) == f"<{y.node.name} at {y.node.location}>"
    assert y.node.describe().endswith(f"at {__file__}:{line() - 2}")


def test_the_error_of_a_second_backward_names_module_and_line():
    y = cp.nn.Sequential(cp.nn.Tanh())(leaf()).sum()
    made = line() - 1
    y.backward()
    with pytest.raises(RuntimeError, match=r"tanh in Sequential\.0") as e:
        y.backward()
    assert f"{__file__}:{made}" in str(e.value)
