"""`y[index] = v` of a tensor with history could not be differentiated: the rule of `put` kept its
base, which the assignment then overwrites. A variadic rule kept all of its inputs or none.
"""

import clearprop as cp


def test_backward_through_an_assignment_by_index():
    x = cp.tensor([1.0, 2.0, 3.0], requires_grad=True)
    v = cp.tensor([5.0, 7.0], requires_grad=True)
    y = x * 2
    y[cp.tensor([0, 2])] = v
    (y * y).sum().backward()
    assert x.grad.tolist() == [0.0, 16.0, 0.0]
    assert v.grad.tolist() == [10.0, 14.0]


def test_only_indices_are_kept():
    x = cp.zeros(1000, requires_grad=True)
    y = x[cp.tensor([3])]
    assert [type(kept).__name__ for kept in y.grad_fn.saved] == ["Aval", "Tensor"]
