"""One number under a mask is written with `where`, also into a view whose base was overwritten."""

import clearprop as cp


def test_gradients_of_a_masked_assignment_to_a_view():
    x = cp.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    v = cp.tensor(10.0, requires_grad=True)
    y = x * 2
    part = y[1:]
    y.mul_(3)
    part[part > 20] = v
    (y * y).sum().backward()
    assert y.tolist() == [6.0, 12.0, 18.0, 10.0]
    assert x.grad.tolist() == [72.0, 144.0, 216.0, 0.0]
    assert v.grad.item() == 20.0


def test_a_mask_over_the_first_axes():
    y = cp.zeros(2, 3)
    y[cp.tensor([False, True])] = 1
    assert y.tolist() == [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
