"""What an optimizer refuses, by PyTorch's type and phrase."""

from __future__ import annotations

import pytest

import clearprop as cp
from clearprop import optim


def leaf():
    return cp.ones(2, requires_grad=True)


@pytest.mark.parametrize(
    ("make", "kind", "phrase"),
    [
        (lambda: optim.SGD([]), ValueError, "SGD: optimizer got an empty parameter list"),
        (lambda: optim.SGD(leaf()), TypeError, "should be an iterable of Tensors or dicts"),
        (lambda: optim.SGD([1.0]), TypeError, "one of the params is float"),
        (lambda: optim.SGD([leaf() * 2]), ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: optim.SGD([{"params": {leaf()}}]), TypeError, "ordered collections"),
        (lambda: optim.SGD([leaf()], lr=-1), ValueError, "Invalid learning rate: -1"),
        (lambda: optim.SGD([leaf()], lr=float("nan")), ValueError, "Invalid learning rate: nan"),
        (lambda: optim.SGD([leaf()], momentum=-1), ValueError, "Invalid momentum value: -1"),
        (
            lambda: optim.SGD([leaf()], weight_decay=-1),
            ValueError,
            "Invalid weight_decay value: -1",
        ),
        (lambda: optim.SGD([leaf()], nesterov=True), ValueError, "Nesterov momentum requires"),
        (
            lambda: optim.SGD([leaf()], momentum=0.9, dampening=0.1, nesterov=True),
            ValueError,
            "zero dampening",
        ),
        (lambda: optim.Adam([leaf()], eps=-1), ValueError, "Adam: Invalid epsilon value: -1"),
        (
            lambda: optim.Adam([leaf()], betas=(1.0, 0.9)),
            ValueError,
            "Invalid beta parameter at index 0: 1.0",
        ),
        (
            lambda: optim.AdamW([leaf()], betas=(0.9, -1)),
            ValueError,
            "AdamW: Invalid beta parameter at index 1",
        ),
        (lambda: optim.RMSprop([leaf()], alpha=-1), ValueError, "Invalid alpha value"),
        (lambda: optim.Adagrad([leaf()], lr_decay=-1), ValueError, "Invalid lr_decay value"),
        (
            lambda: optim.SGD([{"params": leaf(), "lr": -1}]),
            ValueError,
            "Invalid learning rate: -1",
        ),
    ],
)
def test_refused(make, kind, phrase):
    with pytest.raises(kind, match=phrase):
        make()


def test_one_parameter_in_two_groups_is_refused():
    p = leaf()
    with pytest.raises(ValueError, match="more than one parameter group"):
        optim.SGD([{"params": p}, {"params": p}])


def test_one_parameter_twice_in_a_group_is_warned_of():
    p = leaf()
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optim.SGD([p, p])


def test_group_must_be_a_dict():
    with pytest.raises(TypeError, match="param_group must be a dict"):
        optim.SGD([leaf()]).add_param_group([leaf()])


def test_state_of_another_number_of_groups_is_refused():
    one, two = optim.SGD([leaf()]), optim.SGD([{"params": leaf()}, {"params": leaf()}])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        one.load_state_dict(two.state_dict())


def test_state_of_another_number_of_parameters_is_refused():
    one, two = optim.SGD([leaf()]), optim.SGD([leaf(), leaf()])
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        one.load_state_dict(two.state_dict())


def test_state_of_another_shape_is_refused_and_changes_nothing():
    p, q = leaf(), cp.ones(3, requires_grad=True)
    ours, theirs = optim.Adam([p], lr=0.5), optim.Adam([q], lr=0.25)
    q.grad = cp.ones(3)
    theirs.step()
    with pytest.raises(ValueError, match=r"exp_avg of shape \[3\] for a parameter of shape \[2\]"):
        ours.load_state_dict(theirs.state_dict())
    assert not ours.state
    assert ours.param_groups[0]["lr"] == 0.5


def test_repr_lists_the_options():
    assert "    lr: 0.5\n" in repr(optim.SGD([leaf()], lr=0.5))
