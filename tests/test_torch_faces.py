"""`import clearprop as torch`: what programs ask of PyTorch beside tensors and layers."""

import importlib
import subprocess
import sys

import numpy as np
import pytest

import clearprop as torch

F = torch.nn.functional


# ---------------------------------------------------------------------- devices
def test_questions_about_devices_are_answered():
    assert not torch.cuda.is_available() and torch.cuda.device_count() == 0
    assert not torch.backends.mps.is_available() and not torch.xpu.is_available()
    assert not torch.accelerator.is_available()
    assert torch.accelerator.current_accelerator() is None
    assert torch.device("cuda" if torch.cuda.is_available() else "cpu") == torch.device("cpu")
    assert torch.cuda.memory_allocated() == 0 and torch.version.cuda is None


def test_what_has_nothing_to_do_does_nothing():
    torch.manual_seed(1)
    torch.cuda.manual_seed(7)
    torch.cuda.manual_seed_all(7)
    torch.mps.manual_seed(7)
    torch.cuda.empty_cache()
    a = torch.rand(3)
    torch.manual_seed(1)
    assert torch.equal(a, torch.rand(3))


REQUESTS = [
    lambda: torch.zeros(2, device="cuda"),
    lambda: torch.zeros(2, device=torch.device("cuda:0")),
    lambda: torch.zeros(2, device=0),
    lambda: torch.zeros(2).cuda(),
    lambda: torch.zeros(2).to("cuda"),
    lambda: torch.zeros(2).to(0),
    lambda: torch.nn.Linear(2, 2).cuda(),
    lambda: torch.nn.Linear(2, 2).to("cuda"),
    lambda: torch.nn.Linear(2, 2, device="cuda"),
    lambda: torch.cuda.synchronize(),
    lambda: torch.cuda.get_device_name(0),
    lambda: torch.set_default_device("cuda"),
    lambda: torch.LongTensor([1], device="cuda"),
]


@pytest.mark.parametrize("request_", REQUESTS)
def test_requests_for_cuda_fail_with_a_sentence(request_):
    for kind in (AssertionError, RuntimeError):
        with pytest.raises(kind, match=r"not compiled with CUDA enabled.*device='cpu'"):
            request_()


def test_other_devices_fail_too():
    with pytest.raises(RuntimeError, match="not compiled with MPS enabled"):
        torch.zeros(2).to("mps")
    with pytest.raises(RuntimeError, match="none is available"):
        torch.accelerator.synchronize()
    with pytest.raises(RuntimeError, match="Expected one of cpu"):
        torch.zeros(2, device="gpu")


def test_switches_of_libraries_may_be_set():
    cudnn = importlib.import_module("clearprop.backends.cudnn")
    assert torch.backends.cudnn is cudnn and not cudnn.benchmark
    cudnn.benchmark = True
    with cudnn.flags(enabled=False):
        assert not cudnn.enabled and not cudnn.benchmark
    assert cudnn.enabled and cudnn.benchmark
    cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cuda.matmul.allow_tf32 = False


def test_settings_are_kept():
    torch.set_num_threads(4)
    assert torch.get_num_threads() == 1
    with pytest.raises(RuntimeError, match="positive"):
        torch.set_num_threads(0)
    torch.use_deterministic_algorithms(True)
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)
    torch.set_float32_matmul_precision("high")
    assert torch.get_float32_matmul_precision() == "high"
    torch.set_float32_matmul_precision("highest")
    with pytest.raises(RuntimeError, match="highest, high, medium"):
        torch.set_float32_matmul_precision("low")
    torch.set_default_device("cpu")
    assert torch.get_default_device() == "cpu"


def test_inference_mode_says_so():
    assert not torch.is_inference_mode_enabled()
    with torch.inference_mode():
        assert torch.is_inference_mode_enabled() and not torch.is_grad_enabled()
        with torch.inference_mode(False):
            assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()
        assert torch.is_inference_mode_enabled()
    assert not torch.is_inference_mode_enabled() and torch.is_grad_enabled()


# ---------------------------------------------------------------------- mixed precision
def test_mixed_precision_that_is_switched_off_is_silent():
    scaler = torch.cuda.amp.GradScaler(enabled=False)
    w = torch.ones(2, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=0.5)
    with torch.autocast("cuda", enabled=False), torch.cuda.amp.autocast(enabled=False):
        loss = (w * w).sum()
    scaler.scale(loss).backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert w.tolist() == [0, 0] and scaler.state_dict() == {} and not scaler.is_enabled()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: torch.autocast("cuda"), "CUDA is not available. Disabling"),
        (lambda: torch.amp.autocast("cpu", dtype=torch.float16), "no lower precision"),
        (lambda: torch.cuda.amp.autocast(), "CUDA is not available. Disabling"),
        (lambda: torch.amp.GradScaler("cuda"), "Disabling"),
        (lambda: torch.cuda.amp.GradScaler(), "Disabling"),
    ],
)
def test_mixed_precision_that_is_switched_on_warns(make, text):
    with pytest.warns(UserWarning, match=text):
        block = make()
    if hasattr(block, "__enter__"):
        assert block(lambda: torch.ones(1))().dtype is torch.float32


# ---------------------------------------------------------------------- older names of types
def test_tensor_types_make_tensors():
    assert torch.FloatTensor([1, 2]).dtype is torch.float32
    assert torch.LongTensor([1.5, 2]).tolist() == [1, 2]
    assert torch.BoolTensor([0, 3]).tolist() == [False, True]
    assert torch.DoubleTensor(2, 3).shape == (2, 3)
    assert torch.IntTensor().shape == (0,)
    assert torch.ByteTensor(np.array([1, 2])).dtype is torch.uint8
    with pytest.raises(TypeError, match="data must be a sequence"):
        torch.FloatTensor(1.5)
    with pytest.raises(TypeError, match=r"expected a tensor of type clearprop.float32"):
        torch.FloatTensor(torch.ones(2, dtype=torch.float64))


def test_tensor_types_are_types():
    x = torch.nn.Parameter(torch.ones(2))
    assert isinstance(x, torch.FloatTensor) and not isinstance(x, torch.LongTensor)
    assert not isinstance(np.ones(2), torch.FloatTensor)
    assert x.type() == torch.typename(x) == "torch.FloatTensor"
    for t in (torch.LongTensor, "torch.LongTensor", torch.int64):
        assert x.type(t).type() == "torch.LongTensor"
    assert torch.typename(torch.nn.Linear) == "clearprop.nn.layers.Linear"


def test_the_default_type_by_its_older_name():
    torch.set_default_tensor_type(torch.DoubleTensor)
    try:
        assert torch.ones(1).dtype is torch.float64
    finally:
        torch.set_default_tensor_type("torch.FloatTensor")
    assert torch.ones(1).dtype is torch.float32
    with pytest.raises(TypeError, match=r"not available: .*CUDA"):
        torch.set_default_tensor_type("torch.cuda.FloatTensor")


def test_the_tensor_class_takes_sizes():
    assert torch.Tensor(2, 3).shape == (2, 3) and torch.Tensor(3).shape == (3,)
    assert torch.Tensor().shape == (0,) and torch.Tensor([True, 2]).tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="sizes must be integers"):
        torch.Tensor(2, 2.5)


def test_where_a_tensor_lies_in_its_memory():
    x = torch.arange(12).reshape(3, 4)
    assert x.storage_offset() == 0 and x[1:, 2].storage_offset() == 6
    assert x.share_memory_() is x and not x.is_shared()


# ---------------------------------------------------------------------- random numbers
def test_the_state_of_random_numbers():
    state = torch.get_rng_state()
    assert state.dtype is torch.uint8
    a = torch.randn(5)
    torch.set_rng_state(state)
    with torch.random.fork_rng():
        assert torch.equal(torch.randn(5), a)
    assert torch.equal(torch.randn(5), a)
    s = torch.seed()
    assert torch.initial_seed() == torch.random.initial_seed() == s


# ---------------------------------------------------------------------- functions of the top level
def test_functions_with_two_homes_are_one():
    x = torch.randn(2, 3, 8, 8)
    w = torch.randn(4, 3, 3, 3)
    assert torch.equal(torch.conv2d(x, w, padding=1), F.conv2d(x, w, padding=1))
    assert torch.equal(torch.max_pool2d(x, 2), F.max_pool2d(x, 2))
    assert torch.equal(torch.selu(x), F.selu(x)) and torch.equal(torch.celu(x), F.celu(x))
    assert torch.equal(torch.rms_norm(x, (8,)), F.rms_norm(x, (8,)))
    assert torch.equal(torch.cosine_similarity(x, x + 1), F.cosine_similarity(x, x + 1))


def test_functions_whose_arguments_come_in_another_order():
    w, i = torch.randn(5, 2), torch.tensor([[4, 0]])
    assert torch.equal(torch.embedding(w, i), F.embedding(i, w))
    assert torch.equal(torch.dropout(w, 0.5, False), w)
    x, mean, var = torch.randn(4, 2), torch.zeros(2), torch.ones(2)
    a = torch.batch_norm(x, None, None, mean, var, False, 0.1, 1e-5, False)
    assert torch.equal(a, F.batch_norm(x, mean, var))
    b = torch.layer_norm(x, (2,), None, None, 1e-5, False)
    assert torch.equal(b, F.layer_norm(x, (2,)))


def test_constants():
    assert torch.pi == np.pi and torch.inf == np.inf and np.isnan(torch.nan)
    assert torch.ones(2)[torch.newaxis].shape == (1, 2)
    assert torch.detach(torch.ones(1, requires_grad=True)).requires_grad is False


# ---------------------------------------------------------------------- what is not there
def test_what_is_left_out_says_why():
    with pytest.raises(AttributeError, match=r"no attribute 'complex64': there are no complex"):
        torch.complex64
    with pytest.raises(AttributeError, match=r"did you mean 'tensor'"):
        torch.tensro


def test_the_import_stays_layered():
    code = (
        "import sys, clearprop as torch; torch.cuda.is_available();"
        "print([m for m in sys.modules if m in ('torch', 'clearprop.nn', 'clearprop.optim')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# ---------------------------------------------------------------------- shapes, older tensors
def test_sizes():
    size = torch.zeros(2, 3).size()
    assert size == (2, 3) and isinstance(size, torch.Size) and size.numel() == 6
    more = size + (4,)  # noqa: RUF005
    assert size[1:].numel() == 3 and more.numel() == 24 and str(size) == "(2, 3)"
    assert isinstance(torch.zeros(2).shape, torch.Size) and not isinstance([2], torch.Size)
    assert torch.zeros(torch.Size([2, 1])).shape == torch.Size((2, 1))


def test_variables():
    x = torch.ones(2)
    v = torch.autograd.Variable(x, requires_grad=True)
    assert v.is_leaf and v.requires_grad and not x.requires_grad
    assert isinstance(x, torch.autograd.Variable) and not isinstance(2, torch.autograd.Variable)
    (g,) = torch.autograd.grad((v * v).sum(), v, only_inputs=True)
    assert g.tolist() == [2, 2]
    with pytest.raises(ValueError, match="only_inputs"):
        torch.autograd.grad((v * v).sum(), v, only_inputs=False)


# ---------------------------------------------------------------------- torch.testing
@pytest.mark.parametrize(
    ("a", "b", "options"),
    [
        (torch.ones(2), torch.ones(2) + 1e-6, {}),
        ([1.0, (2,)], [1.0, (2,)], {}),
        ({"w": torch.ones(1)}, {"w": torch.ones(1)}, {}),
        (np.ones(2), torch.ones(2, dtype=torch.float64), {}),
        (torch.ones(1), torch.ones(1, dtype=torch.int64), {"check_dtype": False}),
        (torch.tensor(torch.nan), torch.tensor(torch.nan), {"equal_nan": True}),
        (torch.tensor(1.0), torch.tensor(1.5), {"rtol": 0, "atol": 0.5}),
        (torch.tensor([torch.inf]), torch.tensor([torch.inf]), {}),
    ],
)
def test_what_is_close(a, b, options):
    torch.testing.assert_close(a, b, **options)


@pytest.mark.parametrize(
    ("a", "b", "text"),
    [
        (torch.ones(2), torch.ones(2) + 1e-4, r"not close!\n\nMismatched elements: 2 / 2 \(100.0%"),
        (torch.tensor([0, 1]), torch.tensor([0, 3]), r"not equal!(.|\n)*2.0 at index \(1,\)"),
        (torch.ones(2), torch.ones(3), r"'shape' do not match: \[2\] != \[3\]"),
        (torch.ones(2), torch.ones(2).double(), r"'dtype' do not match"),
        (1.0, 1.1, r"Expected 1.1 but got 1.0"),
        (torch.tensor(torch.nan), torch.tensor(torch.nan), "Scalars are not close"),
        ({"a": [torch.ones(1)]}, {"a": [torch.zeros(1)]}, r"for item \['a'\]\[0\]"),
        ({"a": 1}, {"b": 1}, r"Missing keys in the actual mapping: \['b'\]"),
        ([1], [1, 2], "length of the sequences mismatch: 1 != 2"),
    ],
)
def test_what_is_not_close(a, b, text):
    with pytest.raises(AssertionError, match=text):
        torch.testing.assert_close(a, b)


def test_words_of_ones_own_and_half_a_tolerance():
    with pytest.raises(AssertionError, match=r"^no$"):
        torch.testing.assert_close(1, 2, msg="no")
    with pytest.raises(AssertionError, match=r"^so: Scalars"):
        torch.testing.assert_close(1, 2, msg=lambda text: f"so: {text}")
    with pytest.raises(ValueError, match="got no atol"):
        torch.testing.assert_close(1.0, 1.0, rtol=0.1)
