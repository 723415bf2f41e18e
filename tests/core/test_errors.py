"""What an error says: op, what came, what was wanted, where; and its type is that of PyTorch."""

import inspect
import re

import pytest

import clearprop as cp
from clearprop import errors, nn

MISTAKES = {
    "matmul": (lambda: cp.ones(4, 5) @ cp.ones(3, 2), RuntimeError, "f32[4,5] f32[3,2]"),
    "matmul dtypes": (
        lambda: cp.ones(2, 2) @ cp.ones(2, 2, dtype=cp.float64),
        RuntimeError,
        "matmul f32[2,2] f64[2,2]",
    ),
    "add": (lambda: cp.ones(2, 3) + cp.ones(2, 4), RuntimeError, "add [2, 3] [2, 4]"),
    "sum": (lambda: cp.ones(2).sum(1), IndexError, "sum [-1, 0] 1"),
    "reshape": (lambda: cp.ones(6).reshape(4, 2), RuntimeError, "reshape [4, 2] 6"),
    "cat": (lambda: cp.cat([cp.ones(2), cp.ones(2, 2)]), RuntimeError, "cat"),
    "gather": (
        lambda: cp.gather(cp.ones(2), 0, cp.tensor([5])),
        RuntimeError,
        "gather index 5 size 2",
    ),
    "index": (lambda: cp.ones(2)[5], IndexError, "index 5 dimension 0 size 2"),
    "setitem": (lambda: cp.ones(2).__setitem__(0, cp.ones(3)), RuntimeError, "setitem f32[3]"),
    "in place": (lambda: cp.tensor([1]).add_(0.5), RuntimeError, "add_ float32 int64"),
    "mean": (lambda: cp.tensor([1]).mean(), RuntimeError, "mean Long i64[1] x.float()"),
    "softmax": (lambda: cp.softmax(cp.tensor([1]), 0), NotImplementedError, "softmax"),
    "exp of a list": (lambda: cp.exp([1.0]), TypeError, "exp list clearprop.tensor"),
    "matmul of a list": (lambda: cp.matmul(cp.ones(1), [1.0]), TypeError, "matmul list"),
    "dim": (lambda: cp.sum(cp.ones(2), dim="a"), TypeError, "sum 'a'"),
    "size": (lambda: cp.zeros(2, -3), RuntimeError, "zeros -3 [2, -3]"),
    "a negative power": (lambda: cp.tensor([2]) ** -2, RuntimeError, "pow Integers"),
    "a leaf in place": (
        lambda: cp.ones(1, requires_grad=True).add_(1),
        RuntimeError,
        "add_ leaf no_grad()",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_the_message_holds_op_values_and_the_users_line(case):
    make, error, words = MISTAKES[case]
    with pytest.raises(error) as caught:
        make()
    text = str(caught.value)
    for word in words.split():
        assert word in text
    first, last = (lambda lines, at: (at, at + len(lines)))(*inspect.getsourcelines(make))
    line = int(re.search(r"at .*test_errors\.py:(\d+)\)", text)[1])
    assert first <= line < last


@pytest.mark.parametrize(
    ("cls", "builtin"),
    [
        (errors.ShapeError, RuntimeError),
        (errors.DtypeError, RuntimeError),
        (errors.AutogradError, RuntimeError),
        (errors.TraceError, RuntimeError),
        (errors.UnsupportedDtypeError, NotImplementedError),
        (errors.DataError, ValueError),
        (errors.MissingExtraError, ImportError),
    ],
)
def test_every_error_is_ours_and_pytorchs_type(cls, builtin):
    assert issubclass(cls, errors.ClearpropError) and issubclass(cls, builtin)


@pytest.mark.parametrize(
    ("make", "cls"),
    [
        (lambda: cp.ones(2) + cp.ones(3), errors.ShapeError),
        (lambda: cp.tensor([True]) - True, errors.DtypeError),
        (lambda: cp.ones(1).backward(), errors.AutogradError),
        (lambda: cp.tensor([1]).softmax(0), NotImplementedError),
    ],
)
def test_the_kind_of_mistake_can_be_caught(make, cls):
    with pytest.raises(cls):
        make()


@pytest.mark.parametrize(
    ("make", "phrase"),
    [
        (
            lambda: cp.ones(2, requires_grad=True).mul(2).backward(),
            "grad can be implicitly created only for scalar outputs",
        ),
        (
            lambda: cp.ones(()).backward(),
            "element 0 of tensors does not require grad and does not have a grad_fn",
        ),
        (
            lambda: cp.ones(4, 5) @ cp.ones(3, 2),
            "mat1 and mat2 shapes cannot be multiplied (4x5 and 3x2)",
        ),
        (
            lambda: cp.ones(2, 3) + cp.ones(2, 4),
            "The size of tensor a (3) must match the size of tensor b (4) at non-singleton"
            " dimension 1",
        ),
        (
            lambda: bool(cp.ones(2)),
            "Boolean value of Tensor with more than one value is ambiguous",
        ),
        (lambda: cp.ones(2, requires_grad=True).numpy(), "Can't call numpy() on Tensor that"),
    ],
)
def test_the_phrase_that_people_search_for_is_kept(make, phrase):
    with pytest.raises(RuntimeError, match=re.escape(phrase)):
        make()


def test_an_error_inside_a_network_names_the_module():
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4), nn.ReLU()), nn.Linear(5, 1))
    with pytest.raises(RuntimeError, match=r"Sequential\.1\b.*test_errors\.py:\d+"):
        model(cp.ones(2, 3))
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 4)))
    with pytest.raises(RuntimeError, match=r"Sequential\.0\.0\b"):
        model(cp.ones(2, 5))


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda: len(cp.ones(())), "len.. of a 0-d tensor"),
        (lambda: iter(cp.ones(())), "iteration over a 0-d tensor"),
        (lambda: cp.ones(2) + "a", "unsupported operand"),
        (lambda: cp.ones(2) < None, "not supported between"),
    ],
)
def test_pythons_own_type_errors(f, message):
    with pytest.raises(TypeError, match=message):
        f()


def test_comparing_with_none_is_false_and_not_an_error():
    assert (cp.ones(2) == None) is False  # noqa: E711
    assert (cp.ones(2) != None) is True  # noqa: E711


@pytest.mark.parametrize(
    ("word", "hint"), [("pirce", "; did you mean 'price'?"), ("xyz", ""), (3, "")]
)
def test_did_you_mean(word, hint):
    assert errors.did_you_mean(word, ["price", "size"]) == hint


def test_a_missing_extra_says_how_to_install_it():
    with pytest.raises(ImportError, match=re.escape("pip install 'clearprop[plot]'")):
        errors.optional_import("a_package_that_is_not_there", "plot")


def test_no_gradients_for_integers():
    with pytest.raises(RuntimeError, match=r"floating point dtype can require gradients.*i64\[1\]"):
        cp.tensor([1]).requires_grad_()


def test_requires_grad_cannot_be_taken_from_a_result():
    y = cp.ones(1, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="can only change requires_grad flags of leaf"):
        y.requires_grad = False
