"""The mistakes that people make most: the same type of exception as PyTorch's, a phrase that is in
both messages (so that a search finds the answers), and what ours says besides.
"""

import re

import pytest

import clearprop as cp

torch = pytest.importorskip("torch")

# fmt: off
# what is wrong, what the program does, the phrase of both, what ours says besides
MISTAKES = [
    ("Linear of another size", lambda t: t.nn.Linear(3, 2)(t.ones(4, 5)),
     "mat1 and mat2 shapes cannot be multiplied (4x5 and 3x2)", "f32[4,5]"),
    ("matmul of other sizes", lambda t: t.ones(2, 3) @ t.ones(2, 3),
     "shapes cannot be multiplied|(2x3 and 2x3)", "matmul"),
    ("mm of vectors", lambda t: t.mm(t.ones(3), t.ones(3)),
     "must be a matrix", "mm"),
    ("bmm of matrices", lambda t: t.bmm(t.ones(2, 3), t.ones(3, 2)),
     "must be a 3D tensor", "bmm"),
    ("Conv2d of other channels", lambda t: t.nn.Conv2d(3, 4, 3)(t.ones(1, 1, 8, 8)),
     "to have 3 channels, but got 1 channels instead", "in Conv2d"),
    ("Conv2d of a picture without channels", lambda t: t.nn.Conv2d(1, 4, 3)(t.ones(8, 8)),
     "Expected 3D (unbatched) or 4D (batched) input to conv2d", "in Conv2d"),
    ("kernel larger than the picture", lambda t: t.nn.Conv2d(1, 1, 5)(t.ones(1, 1, 3, 3)),
     "Kernel size can't be greater than actual input size", "3"),
    ("integers into Linear", lambda t: t.nn.Linear(2, 2)(t.ones(1, 2, dtype=t.int64)),
     "dtype", "i64[1,2]"),
    ("double into float", lambda t: t.nn.Linear(2, 2)(t.ones(1, 2, dtype=t.float64)),
     "dtype", "f64[1,2]"),
    ("matmul of other dtypes", lambda t: t.ones(2, 2) @ t.ones(2, 2, dtype=t.float64),
     "dtype", "f64[2,2]"),
    ("float classes", lambda t: t.nn.functional.cross_entropy(t.ones(2, 3), t.ones(2)),
     "expected target dtype to be Long or Byte", "f32[2]"),
    ("a class that is not there",
     lambda t: t.nn.functional.cross_entropy(t.ones(2, 3), t.tensor([0, 3])),
     "out of bounds", "3"),
    ("other numbers of examples",
     lambda t: t.nn.functional.cross_entropy(t.ones(2, 3), t.tensor([0, 1, 2])),
     "Expected input batch_size (2) to match target batch_size (3)", "cross_entropy"),
    ("probabilities above 1",
     lambda t: t.nn.functional.binary_cross_entropy(t.full((2,), 1.5), t.ones(2)),
     "between 0 and 1", "binary_cross_entropy"),
    ("target of another size for BCE",
     lambda t: t.nn.functional.binary_cross_entropy(t.ones(4, 1), t.ones(4)),
     "that is different to the input size", "[4, 1]"),
    ("target of another size for BCE with logits",
     lambda t: t.nn.functional.binary_cross_entropy_with_logits(t.ones(4, 1), t.ones(4)),
     "must be the same as input size", "[4, 1]"),
    ("a word that is not in the table", lambda t: t.nn.Embedding(3, 2)(t.tensor([3])),
     "index out of range", "3"),
    ("words as floats", lambda t: t.nn.Embedding(3, 2)(t.ones(1)),
     "Long", "f32[1]"),
    ("backward twice", lambda t: backward_twice(t),
     "Trying to backward through the graph a second time", "retain_graph=True"),
    ("backward of many numbers", lambda t: t.ones(2, requires_grad=True).mul(2).backward(),
     "grad can be implicitly created only for scalar outputs", "f32[2]"),
    ("backward without a graph", lambda t: t.ones(()).backward(),
     "does not require grad and does not have a grad_fn", "no_grad"),
    ("a leaf in place", lambda t: t.ones(2, requires_grad=True).add_(1),
     "a leaf Variable that requires grad is being used in an in-place operation", "no_grad"),
    ("overwritten before backward", lambda t: overwritten(t),
     "modified by an inplace operation", "exp"),
    ("gradients of integers", lambda t: t.ones(2, dtype=t.int64).requires_grad_(),
     "floating point", "i64[2]"),
    ("an integer parameter", lambda t: t.nn.Parameter(t.ones(2, dtype=t.int64)),
     "floating point", "i64[2]"),
    ("numpy of what requires grad", lambda t: t.ones(2, requires_grad=True).numpy(),
     "Can't call numpy() on Tensor that requires grad", "detach()"),
    ("grad of what was not used", lambda t: unused(t),
     "appears to not have been used in the graph", "allow_unused=True"),
    ("item of many", lambda t: t.ones(3).item(),
     "a Tensor with 3 elements cannot be converted to Scalar", "f32[3]"),
    ("truth of many", lambda t: bool(t.ones(2)),
     "Boolean value of Tensor with more than one value is ambiguous", "f32[2]"),
    ("view of what is not contiguous", lambda t: t.ones(2, 3).t().view(6),
     "view size is not compatible with input tensor's size and stride", "reshape"),
    ("reshape to another number of elements", lambda t: t.ones(2, 3).reshape(4, 2),
     "is invalid for input of size 6", "reshape"),
    ("shapes that do not broadcast", lambda t: t.ones(2, 3) + t.ones(2, 4),
     "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1",
     "add"),
    ("cat of other sizes", lambda t: t.cat([t.ones(2, 3), t.ones(2, 4)]),
     "Sizes of tensors must match except in dimension 0", "f32[2,4]"),
    ("stack of other sizes", lambda t: t.stack([t.ones(2), t.ones(3)]),
     "stack expects each tensor to be equal size", "[3]"),
    ("a dimension that is not there", lambda t: t.ones(2, 3).sum(2),
     "Dimension out of range (expected to be in range of [-2, 1], but got 2)", "sum"),
    ("an index that is not there", lambda t: t.ones(3)[3],
     "index 3 is out of bounds for dimension 0 with size 3", "f32[3]"),
    ("too many indices", lambda t: t.ones(3)[0, 0],
     "too many indices for tensor of dimension 1", "f32[3]"),
    ("permute of too few dimensions", lambda t: t.ones(2, 3).permute(0),
     "does not match the length of the desired ordering of dimensions", "f32[2,3]"),
    ("expand to another size", lambda t: t.ones(2, 3).expand(4, 3),
     "must match the existing size (2) at non-singleton dimension 0", "expand"),
    ("ragged lists", lambda t: t.tensor([[1, 2], [3]]),
     "expected sequence of length 2 at dim 1 (got 1)", "tensor"),
    ("squeeze and unsqueeze", lambda t: t.ones(2).unsqueeze(3),
     "Dimension out of range", "unsqueeze"),
    ("split into other parts", lambda t: t.split(t.ones(5), [2, 2]),
     "split_with_sizes expects split_sizes to sum exactly to 5", "split"),
    ("gather by floats", lambda t: t.gather(t.ones(2, 2), 0, t.ones(2, 2)),
     "index", "gather"),
    ("BatchNorm of one example", lambda t: t.nn.BatchNorm1d(3)(t.ones(1, 3)),
     "Expected more than 1 value per channel when training, got input size", "eval()"),
    ("BatchNorm2d of vectors", lambda t: t.nn.BatchNorm2d(3)(t.ones(4, 3)),
     "expected 4D input (got 2D input)", "BatchNorm2d"),
    ("a state_dict with missing keys",
     lambda t: t.nn.Linear(2, 2).load_state_dict({"weight": t.ones(2, 2)}),
     'Missing key(s) in state_dict: "bias"', "Linear"),
    ("a state_dict with other keys",
     lambda t: t.nn.Linear(2, 1, bias=False).load_state_dict({"weight": t.ones(1, 2),
                                                              "wieght": t.ones(1)}),
     'Unexpected key(s) in state_dict: "wieght"', "Linear"),
    ("a state_dict of other sizes",
     lambda t: t.nn.Linear(2, 1, bias=False).load_state_dict({"weight": t.ones(1, 3)}),
     "size mismatch for weight", "[1, 3]"),
    ("no super().__init__()", lambda t: forgetful(t)(),
     "cannot assign module before Module.__init__() call", "super().__init__()"),
    ("an attribute that is not there", lambda t: t.nn.Linear(1, 1).wieght,
     "object has no attribute 'wieght'", "weight"),
    ("no forward", lambda t: type("Net", (t.nn.Module,), {})()(t.ones(1)),
     'is missing the required "forward" function', "Net"),
    ("an optimizer of nothing", lambda t: t.optim.SGD([], lr=0.1),
     "optimizer got an empty parameter list", "SGD"),
    ("an optimizer of what was computed",
     lambda t: t.optim.SGD([t.ones(2, requires_grad=True) * 2], lr=0.1),
     "can't optimize a non-leaf Tensor", "MulBackward"),
    ("an optimizer of one tensor", lambda t: t.optim.SGD(t.ones(2, requires_grad=True), lr=0.1),
     "params argument given to the optimizer should be an iterable of", "Tensor"),
    ("a negative learning rate",
     lambda t: t.optim.SGD([t.ones(2, requires_grad=True)], lr=-1),
     "Invalid learning rate: -1", "SGD"),
    ("no GPU", lambda t: t.ones(2).cuda(),
     "not compiled with CUDA enabled", "device='cpu'"),
    ("no such device", lambda t: t.device("gpu"),
     "device type at start of device string: gpu", "cpu"),
    ("a tensor for a number", lambda t: t.zeros(2).fill_(t.ones(2)),
     "only supports 0-dimension value tensor but got tensor with 1 dimensions", "f32[2]"),
    ("a list for a tensor", lambda t: t.nn.functional.relu([1.0]),
     "relu", "list"),
    ("cat of other ranks", lambda t: t.cat([t.ones(2, 3), t.ones(2)]),
     "Tensors must have same number of dimensions: got 2 and 1", "f32[2]"),
    ("bmm of other batches", lambda t: t.bmm(t.ones(2, 3, 4), t.ones(3, 4, 5)),
     "Expected size for first two dimensions of batch2 tensor to be: [2, 4] but got: [3, 4]",
     "f32[3,4,5]"),
    ("permute of one dimension twice", lambda t: t.ones(2, 3).permute(0, 0),
     "duplicate dims are not allowed", "permute"),
    ("a scheduler of no optimizer", lambda t: t.optim.lr_scheduler.StepLR(3, 1),
     "is not an Optimizer", "int"),
    ("a module that is none", lambda t: t.nn.Sequential(3),
     "is not a Module subclass", "int"),
    ("a parameter that is none", lambda t: setattr(t.nn.Linear(1, 1), "weight", t.ones(1)),
     "(torch.nn.Parameter or None expected)", "weight"),
    ("arange without an end", lambda t: t.arange(0, 5, -1),
     "inconsistent with step sign", "arange"),
    ("topk of too many", lambda t: t.topk(t.ones(3), 5),
     "selected index k out of range", "topk"),
    ("one_hot of too few classes", lambda t: t.nn.functional.one_hot(t.tensor([3]), 2),
     "Class values must be smaller than num_classes", "one_hot"),
    ("an empty maximum", lambda t: t.ones(0).max(),
     "Specify the reduction dim with the 'dim' argument", "max"),
    ("dropout above 1", lambda t: t.nn.Dropout(1.5),
     "dropout probability has to be between 0 and 1, but got 1.5", "1.5"),
    ("other sizes of batch in a TensorDataset",
     lambda t: t.utils.data.TensorDataset(t.ones(2), t.ones(3)),
     "Size mismatch between tensors", "3"),
    ("a loader of batches of nothing",
     lambda t: t.utils.data.DataLoader([1, 2], batch_size=0),
     "batch_size should be a positive integer value, but got batch_size=0", "DataLoader"),
    ("lengths that do not add up",
     lambda t: t.utils.data.random_split([1, 2, 3], [1, 1]),
     "Sum of input lengths does not equal the length of the input dataset", "random_split"),
    ("probabilities that are none", lambda t: t.multinomial(t.tensor([-1.0, 2.0]), 1),
     "probability tensor contains either `inf`, `nan` or element < 0", "multinomial"),
    ("a distribution of nonsense", lambda t: t.distributions.Normal(t.zeros(1), -t.ones(1)),
     "to satisfy the constraint GreaterThan(lower_bound=0.0)", "scale"),
    ("LSTM of another size", lambda t: t.nn.LSTM(3, 4)(t.ones(2, 1, 5)),
     "input.size(-1) must be equal to input_size. Expected 3, got 5", "LSTM"),
    ("heads that do not divide", lambda t: t.nn.MultiheadAttention(5, 2),
     "embed_dim must be divisible by num_heads", "5"),
    ("LayerNorm of another size", lambda t: t.nn.LayerNorm(3)(t.ones(2, 4)),
     "Given normalized_shape=[3], expected input with shape [*, 3]", "in LayerNorm"),
]
# fmt: on


def backward_twice(t):
    x = t.ones(2, requires_grad=True)
    y = (x * x).sum()
    y.backward()
    y.backward()


def overwritten(t):
    x = t.ones(2, requires_grad=True)
    y = x.exp()
    y.add_(1)
    y.sum().backward()


def unused(t):
    x, y = (t.ones(1, requires_grad=True) for _ in range(2))
    return t.autograd.grad((x * 2).sum(), [x, y])


def forgetful(t):
    class Net(t.nn.Module):
        def __init__(self):
            self.fc = t.nn.Linear(1, 1)

    return Net


def error(program, library):
    with pytest.raises(Exception) as raised:
        program(library)
    return raised.value


def kind(e):
    """The nearest exception that Python itself knows."""
    return next(c for c in type(e).__mro__ if c.__module__ == "builtins")


@pytest.mark.parametrize(
    ("program", "phrase", "more"), [row[1:] for row in MISTAKES], ids=[row[0] for row in MISTAKES]
)
def test_a_mistake_is_told_as_in_pytorch(program, phrase, more):
    theirs, ours = error(program, torch), error(program, cp)
    assert isinstance(ours, kind(theirs)), (repr(ours), repr(theirs))
    for part in phrase.split("|"):
        assert part in str(theirs), str(theirs)
        assert part in str(ours), f"ours:   {ours}\ntheirs: {theirs}"
    assert more in str(ours), str(ours)


@pytest.mark.parametrize("program", [row[1] for row in MISTAKES], ids=[row[0] for row in MISTAKES])
def test_errors_of_ops_name_the_line(program):
    ours = str(error(program, cp))
    if isinstance(error(program, cp), cp.errors.ShapeError | cp.errors.DtypeError):
        assert re.search(r"at .*test_error_messages_against_torch.py:\d+", ours), ours
