"""In-place methods: what they write, the history they leave, and what they must not do."""

import numpy as np
import pytest

import clearprop as cp

DATA = [0.5, 1.5, 2.5]
CASES = {
    **dict.fromkeys(
        """neg abs exp expm1 log log1p sqrt rsqrt reciprocal sin cos tan tanh sigmoid relu floor
        ceil round trunc square nan_to_num""".split(),
        (),
    ),
    "mul": (3.0,),
    "div": (2.0,),
    "add": (1.5,),
    "sub": (1.5,),
    "pow": (3,),
    "remainder": (2.0,),
    "clamp": (1.0, 2.0),
    "lerp": (cp.ones(3), 0.25),
    "addcmul": (cp.ones(3), cp.tensor([1.0, 2.0, 3.0])),
    "addcdiv": (cp.ones(3), cp.tensor([1.0, 2.0, 4.0])),
    "masked_fill": (cp.tensor([True, False, True]), 9.0),
    "cumsum": (0,),
}


@pytest.mark.parametrize("name", CASES)
def test_in_place_equals_out_of_place(name):
    args = CASES[name]
    plain = cp.tensor(DATA, requires_grad=True)
    wanted = getattr(plain, name)(*args)
    wanted.sum().backward()

    leaf = cp.tensor(DATA, requires_grad=True)
    x = leaf * 1
    memory = x.detach().numpy()
    assert getattr(x, f"{name}_")(*args) is x
    assert np.shares_memory(memory, x.detach().numpy())
    np.testing.assert_array_equal(x.detach().numpy(), wanted.detach().numpy())
    x.sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), plain.grad.numpy())


@pytest.mark.parametrize("name", CASES)
def test_every_write_counts_one_version(name):
    x = cp.tensor(DATA)
    before = x._version
    with cp.no_grad():
        getattr(x, f"{name}_")(*CASES[name])
    assert x._version == before + 1


def test_views_and_detached_tensors_share_the_version():
    x = cp.zeros(4)
    tied = [x[1:], x.view(2, 2), x.detach(), x[:2][1]]
    x.add_(1)
    tied[0].mul_(2)
    assert [t._version for t in [x, *tied]] == [2] * 5
    assert x.clone()._version == 0 and x.data._version == 0


SAVED = {
    "exp keeps its result": lambda x: (lambda y: (y, y))(x.exp()),
    "sigmoid keeps its result": lambda x: (lambda y: (y, y))(x.sigmoid()),
    "mul keeps its inputs": lambda x: (lambda a: (a, a * x))(x + 1),
    "square keeps its input": lambda x: (lambda a: (a, a**2))(x + 1),
    "matmul keeps its inputs": lambda x: (lambda a: (a, a @ x))(x + 1),
    "a view was saved": lambda x: (lambda a: (a, a[1:] * x[1:]))(x + 1),
}


@pytest.mark.parametrize("case", SAVED)
def test_an_overwritten_saved_value_is_an_error(case):
    x = cp.tensor(DATA, requires_grad=True)
    written, y = SAVED[case](x)
    total = y.sum()
    written.add_(1)
    text = (
        r"modified by an inplace operation: \[torch.FloatTensor \[.*is at version 1; expected"
        r" version 0 instead"
    )
    with pytest.raises(RuntimeError, match=text):
        total.backward()


def test_the_error_names_the_op_and_the_line():
    x = cp.ones(2, requires_grad=True)
    y = x.exp()
    y.add_(1)
    with pytest.raises(RuntimeError, match=r"output 0 of Exp.*exp at .*test_inplace\.py"):
        y.sum().backward()


def test_overwriting_what_no_rule_needs_is_fine():
    x = cp.tensor(DATA, requires_grad=True)
    y = x + 1
    z = y + 2
    y.zero_()
    z.sum().backward()
    assert x.grad.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "write",
    [
        lambda x: x.add_(1),
        lambda x: x.zero_(),
        lambda x: x.copy_(cp.ones(3)),
        lambda x: x.fill_(2),
        lambda x: x.uniform_(),
        lambda x: x.__setitem__(0, 1.0),
        lambda x: x.__imul__(2),
    ],
)
def test_a_leaf_with_a_gradient_is_not_written_to(write):
    x = cp.tensor(DATA, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an"):
        write(x)
    assert x.tolist() == DATA
    with cp.no_grad():
        write(x)
    assert x.tolist() != DATA and x.requires_grad and x.is_leaf


def test_a_view_of_a_leaf_is_not_written_to():
    x = cp.tensor(DATA, requires_grad=True)
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        x[1:].mul_(2)
    assert x.tolist() == DATA


def test_writing_to_a_view_changes_the_history_of_its_base():
    x = cp.tensor([1.0, 2.0, 3.0], requires_grad=True)
    base = x * 1
    view = base[1:]
    view.mul_(10)
    assert base.tolist() == [1, 20, 30]
    base.sum().backward()
    assert x.grad.tolist() == [1, 10, 10]


def test_writing_to_the_base_changes_the_history_of_a_view():
    x = cp.tensor([1.0, 2.0, 3.0], requires_grad=True)
    base = x * 1
    view = base[:2]
    base.mul_(cp.tensor([5.0, 6.0, 7.0]))
    assert view.tolist() == [5, 12]
    view.sum().backward()
    assert x.grad.tolist() == [5, 6, 0]


def test_one_view_sees_what_another_wrote():
    x = cp.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    base = x * 1
    row, column = base[0], base.t()[1]
    row.mul_(3)
    assert column.tolist() == [6, 4]
    column.sum().backward()
    assert x.grad.tolist() == [[0, 3], [0, 1]]


def test_writing_a_tensor_with_history_into_a_plain_one_gives_it_history():
    v = cp.tensor([1.0, 2.0], requires_grad=True)
    base = cp.zeros(4)
    base[1:3] = v * 2
    assert base.requires_grad and not base.is_leaf
    (base * cp.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert v.grad.tolist() == [4, 6]


@pytest.mark.parametrize("write", [lambda x: x.zero_(), lambda x: x.fill_(3), lambda x: x.copy_(7)])
def test_what_is_overwritten_gets_a_zero_gradient(write):
    leaf = cp.ones(2, requires_grad=True)
    x = leaf * 5
    write(x)
    (x.sum() + (leaf * 2).sum()).backward()
    assert leaf.grad.tolist() == [2, 2]


def test_copy_gives_the_gradient_to_its_source():
    source = cp.tensor([1.0, 2.0], dtype=cp.float64, requires_grad=True)
    x = cp.zeros(3, 2)
    x.copy_(source)
    assert x.dtype is cp.float32 and x.tolist() == [[1, 2]] * 3
    x.sum().backward()
    assert source.grad.tolist() == [3, 3] and source.grad.dtype is cp.float64


def test_overlapping_memory_is_read_before_it_is_written():
    x = cp.tensor([1.0, 2.0, 3.0, 4.0])
    x[1:] = x[:-1]
    assert x.tolist() == [1, 1, 2, 3]
    y = cp.tensor([[1.0, 2.0], [3.0, 4.0]])
    y.copy_(y.t())
    assert y.tolist() == [[1, 3], [2, 4]]


def test_an_expanded_tensor_is_not_written_to():
    x = cp.zeros(1).expand(3)
    with pytest.raises(RuntimeError, match=r"single memory location. Please clone\(\)"):
        x.add_(1)
    assert x.tolist() == [0, 0, 0]


def test_x_op_x_in_place():
    leaf = cp.tensor([2.0, 3.0], requires_grad=True)
    x = leaf * 1
    x *= x
    assert x.tolist() == [4, 9]
    x.sum().backward()
    assert leaf.grad.tolist() == [4, 6]


def test_operators_rebind_nothing():
    x = y = cp.tensor([6.0, 7.0])
    x += 2
    x -= 1
    x *= 3
    x /= 2
    x //= 1
    x **= 2
    x %= 7
    assert x is y
    assert x.tolist() == [100 % 7, 144 % 7]


def test_a_write_to_data_is_not_seen_by_autograd():
    x = cp.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    x.data.add_(1)
    assert x._version == 0
    y.sum().backward()
    assert x.grad.tolist() == [4, 6]


def test_detach_in_place_refuses_views():
    x = cp.ones(2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="can't detach views in-place"):
        x[:1].detach_()
    assert x.detach_() is x and not x.requires_grad
