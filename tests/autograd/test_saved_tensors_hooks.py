"""saved_tensors_hooks: what the tape keeps goes through the user's hands and comes back."""

import threading

import numpy as np
import pytest

import clearprop as cp
from clearprop.autograd.graph import (
    disable_saved_tensors_hooks,
    save_on_cpu,
    saved_tensors_hooks,
)
from clearprop.utils.checkpoint import checkpoint

F = cp.nn.functional


class Store:
    """Keeps tensors in files."""

    def __init__(self, folder):
        self.folder, self.written, self.read = folder, 0, 0

    def pack(self, x):
        path = self.folder / f"{self.written}.npy"
        self.written += 1
        np.save(path, x.numpy(force=True))
        return path

    def unpack(self, path):
        self.read += 1
        return cp.from_numpy(np.load(path))

    def hooks(self):
        return saved_tensors_hooks(self.pack, self.unpack)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def network():
    cp.manual_seed(0)
    return cp.nn.Sequential(
        cp.nn.Conv2d(1, 3, 3), cp.nn.BatchNorm2d(3), cp.nn.ReLU(), cp.nn.MaxPool2d(2),
        cp.nn.Flatten(), cp.nn.Linear(27, 8), cp.nn.GELU(), cp.nn.LayerNorm(8), cp.nn.Linear(8, 4),
    )  # fmt: skip


def gradients(net, loss):
    net.zero_grad()
    loss.backward()
    return [p.grad.clone() for p in net.parameters()]


def test_gradients_from_the_disk_are_the_same(store):
    net, x, y = network(), cp.randn(5, 1, 8, 8), cp.tensor([0, 1, 2, 3, 0])
    plain = gradients(net, F.cross_entropy(net(x), y))
    with store.hooks():
        loss = F.cross_entropy(net(x), y)
    assert store.written > 10 and store.read == 0
    for a, b in zip(plain, gradients(net, loss), strict=True):
        assert cp.allclose(a, b, atol=1e-7)
    assert store.read >= 10


def test_recurrent_layers_and_attention_go_through_the_hooks(store):
    cp.manual_seed(0)
    lstm, attention = cp.nn.LSTM(3, 4), cp.nn.MultiheadAttention(4, 2)
    both = cp.nn.ModuleList([lstm, attention])

    def loss():
        h, _ = lstm(x)
        return attention(h, h, h)[0].square().sum()

    x = cp.randn(6, 2, 3)
    plain = gradients(both, loss())
    with store.hooks():
        out = loss()
    for a, b in zip(plain, gradients(both, out), strict=True):
        assert cp.allclose(a, b, atol=1e-6)
    assert store.read > 0


def test_packing_to_float16_rounds_what_is_kept():
    x = cp.tensor([1.0001, 2.0], requires_grad=True)
    with saved_tensors_hooks(lambda t: t.half(), lambda t: t.float()):
        y = (x * x).sum()
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]  # 1.0001 is 1 in half precision


def test_unpacking_may_compute_again():
    x = cp.tensor([0.5, -0.3], requires_grad=True)
    wide = cp.linspace(-1, 1, 6).reshape(2, 3)
    with saved_tensors_hooks(lambda t: t.shape, lambda shape: wide):
        y = (wide * x.unsqueeze(1)).sum()
    y.backward()
    assert cp.allclose(x.grad, wide.sum(1))


def test_the_pack_hook_sees_tensors_of_the_program_and_records_nothing():
    seen = []

    def pack(t):
        seen.append(t)
        return (t * 1).requires_grad

    x = cp.tensor([1.0, 2.0], requires_grad=True)
    with saved_tensors_hooks(pack, lambda flag: x):
        x * 3 * x
    assert any(t is x for t in seen)
    with saved_tensors_hooks(lambda t: t * 1, lambda t: t):
        y = x * x
    assert y.grad_fn.next_functions[0][0].variable is x


def test_numbers_are_not_packed():
    seen = []
    x = cp.tensor([1.0, 2.0], requires_grad=True)
    with saved_tensors_hooks(lambda t: seen.append(t), lambda t: t):
        y = (2 * x / 3 + 1).sum()
    y.backward()
    assert seen == [] and cp.allclose(x.grad, cp.tensor([2 / 3, 2 / 3]))


def test_the_second_derivative_goes_through_the_hooks(store):
    x = cp.tensor([0.3, -1.2], dtype=cp.float64, requires_grad=True)
    with store.hooks():
        y = (x.exp() * x.tanh()).sum()
        (dx,) = cp.autograd.grad(y, x, create_graph=True)
    (ddx,) = cp.autograd.grad(dx.sum(), x)
    z = x.detach().requires_grad_()
    (want,) = cp.autograd.grad((z.exp() * z.tanh()).sum(), z, create_graph=True)
    (want2,) = cp.autograd.grad(want.sum(), z)
    assert cp.allclose(dx, want) and cp.allclose(ddx, want2)


def test_a_second_derivative_outside_the_block():
    x = cp.tensor([0.3, -1.2], dtype=cp.float64, requires_grad=True)
    with saved_tensors_hooks(lambda t: t.numpy(force=True).copy(), cp.from_numpy):
        y = (x * x * x).sum()
    (dx,) = cp.autograd.grad(y, x, create_graph=True)
    (ddx,) = cp.autograd.grad(dx.sum(), x)
    assert cp.allclose(ddx, 6 * x.detach())


def test_retain_graph_unpacks_again_and_without_it_a_second_pass_fails(store):
    x = cp.tensor([1.0, 2.0], requires_grad=True)
    with store.hooks():
        y = (x * x).sum()
    y.backward(retain_graph=True)
    first = store.read
    y.backward()
    assert store.read == 2 * first > 0
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(RuntimeError, match=r"backward through the graph a second time.*mul"):
        y.backward()


class Square(cp.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x * x
        ctx.save_for_backward(x, y, None)
        return y

    @staticmethod
    def backward(ctx, g):
        x, y, nothing = ctx.saved_tensors
        assert nothing is None and cp.allclose(y, x * x)
        return 2 * g * x


def test_a_block_of_ones_own(store):
    x = cp.tensor([1.0, 3.0], requires_grad=True)
    with store.hooks():
        y = Square.apply(x).sum()
    assert store.written == 2
    (dx,) = cp.autograd.grad(y, x, create_graph=True)
    assert dx.tolist() == [2.0, 6.0]
    assert cp.autograd.grad(dx.sum(), x)[0].tolist() == [2.0, 2.0]


def test_what_was_packed_elsewhere_may_be_overwritten(store):
    x = cp.tensor([1.0, 2.0], requires_grad=True)
    h = x * 1
    with store.hooks():
        y = (h * h).sum()
    h.mul_(100)
    y.backward()
    assert x.grad.tolist() == [2.0, 4.0]


@pytest.mark.parametrize("op", [lambda h: h * h, lambda h: h.exp(), Square.apply])
def test_overwriting_what_the_identity_kept_is_found_out(op):
    x = cp.tensor([1.0, 2.0], requires_grad=True)
    with save_on_cpu():
        h = x * 1
        y = op(h)
        loss = y.sum()
    (y if op(x).grad_fn.name == "ExpBackward" else h).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_an_op_in_place_keeps_the_values_from_before():
    x, gate = (cp.tensor([2.0, 3.0], requires_grad=True) for _ in range(2))
    for hooks in (save_on_cpu(), saved_tensors_hooks(lambda t: [t], lambda box: box[0])):
        x.grad = gate.grad = None
        with hooks:
            h = x * 1
            h *= gate
            h.exp_()
        h.sum().backward()
        assert cp.allclose(gate.grad, x * (x * gate).exp())


def test_of_nested_blocks_the_innermost_counts():
    names = []
    x = cp.tensor([1.0], requires_grad=True)

    def hooks(name):
        return saved_tensors_hooks(lambda t: (names.append(name), t)[1], lambda t: t)

    with hooks("outer"):
        x * x
        with hooks("inner"):
            x * x
        x * x
    x * x
    assert names == ["outer"] * 2 + ["inner"] * 2 + ["outer"] * 2


def test_another_thread_is_left_alone():
    seen = []
    x = cp.tensor([1.0], requires_grad=True)
    with saved_tensors_hooks(lambda t: (seen.append(t), t)[1], lambda t: t):
        thread = threading.Thread(target=lambda: x * x)
        thread.start()
        thread.join()
    assert seen == []


def test_after_an_error_the_block_is_over():
    x = cp.tensor([1.0], requires_grad=True)

    def fail(t):
        raise KeyError("full")

    with pytest.raises(KeyError, match="full"), saved_tensors_hooks(fail, fail):
        x * x
    (x * x).backward()
    assert x.grad.tolist() == [2.0]


def test_checkpoints_do_not_pack_what_they_forget():
    seen = []
    net, x = network(), cp.randn(5, 1, 8, 8)
    plain = gradients(net.eval(), net(x).square().sum())
    with saved_tensors_hooks(lambda t: (seen.append(t), t)[1], lambda t: t):
        y = checkpoint(net, x, use_reentrant=False)
    assert seen == []
    for a, b in zip(plain, gradients(net, y.square().sum()), strict=True):
        assert cp.allclose(a, b, atol=1e-6)


def test_inside_a_trace_the_hooks_become_ops():
    def f(x):
        with saved_tensors_hooks(lambda t: t.half(), lambda t: t.float()):
            y = (x * x).sum()
        return cp.autograd.grad(y, x)[0]

    x = cp.tensor([1.0001, 2.0], requires_grad=True)
    assert cp.compile(f)(x).tolist() == f(x).tolist() == [2.0, 4.0]


def test_under_anomaly_mode():
    seen = []
    x = cp.tensor([1.0, 2.0], requires_grad=True)
    with (
        cp.autograd.detect_anomaly(),
        saved_tensors_hooks(lambda t: (seen.append(t), t)[1], lambda t: t),
    ):
        (x * x).sum().backward()
        cp.autograd.set_detect_anomaly(False)
        x * x
    assert len(seen) == 4


def test_a_pack_hook_that_writes_is_refused():
    x = cp.tensor([1.0], requires_grad=True)
    with (
        pytest.raises(RuntimeError, match=r"pack hook is modifying its input in place.*exp"),
        saved_tensors_hooks(lambda t: t.mul_(2), lambda t: t),
    ):
        x.exp()


@pytest.mark.parametrize(
    ("unpack", "error", "text"),
    [
        (lambda t: 3, TypeError, "unpack_hook expected to be a Tensor but got result of type int"),
        (lambda t: t[:1], RuntimeError, r"gave f32\[1\] for a tensor that was f32\[2\]"),
        (lambda t: t.double(), RuntimeError, r"gave f64\[2\] for a tensor that was f32\[2\]"),
    ],
)
def test_an_unpack_hook_that_gives_something_else_is_refused(unpack, error, text):
    x = cp.tensor([1.0, 2.0], requires_grad=True)
    with saved_tensors_hooks(lambda t: t, unpack):
        y = (x * x).sum()
    with pytest.raises(error, match=text):
        y.backward()


def test_hooks_can_be_forbidden():
    with disable_saved_tensors_hooks("not here, please"):
        with pytest.raises(RuntimeError, match="not here, please"), save_on_cpu():
            pass
        with (
            pytest.raises(RuntimeError, match="nor here"),
            disable_saved_tensors_hooks("nor here"),
            save_on_cpu(),
        ):
            pass
    with save_on_cpu():
        pass
