"""trace: what a Python function of tensors becomes."""

import numpy as np
import pytest

import clearprop as cp
from clearprop import nn
from clearprop.graph import text, trace


def ops_of(traced):
    return [e.prim.name for e in traced.graph.equations]


def test_ops_become_equations_and_run_again():
    traced = trace(lambda x, y: cp.tanh(x) * y + 1, cp.ones(3), cp.ones(3))
    assert ops_of(traced) == ["tanh", "mul", "expand", "add"]
    x, y = cp.tensor([0.0, 1.0, 2.0]), cp.tensor([1.0, 2.0, 3.0])
    assert cp.equal(traced(x, y), cp.tanh(x) * y + 1)


def test_control_flow_on_shapes_is_followed():
    def f(x):
        for _ in range(x.shape[0]):
            x = x * 2 if x.ndim == 1 else x + 1
        return x

    assert ops_of(trace(f, cp.ones(3))).count("mul") == 3


def test_weights_are_inputs_and_what_is_made_inside_is_a_constant():
    layer = nn.Linear(2, 3)
    names = {id(p.value): n for n, p in layer.named_parameters()}
    traced = trace(lambda x: layer(x) + cp.arange(3.0), cp.ones(4, 2), names=names)
    assert [v.hint for v in traced.graph.inputs] == ["", "weight", "bias"]
    assert any(a.shape == (3,) for a in traced.graph.constants.values())
    with cp.no_grad():
        layer.bias.add_(1)
    x = cp.ones(4, 2)
    assert cp.equal(traced(x), layer(x).detach() + cp.arange(3.0))


def test_a_repeated_number_is_one_constant():
    traced = trace(lambda x, y: (x * 2, y * 2, x + 0.5), cp.ones(3), cp.ones(2, 2))
    assert sorted(a.item() for a in traced.graph.constants.values()) == [0.5, 2.0]


def test_results_keep_their_structure():
    traced = trace(lambda x: {"a": [x + 1], "b": (x.max(0), 7)}, cp.tensor([1.0, 5.0]))
    out = traced(cp.tensor([3.0, 2.0]))
    assert out["a"][0].tolist() == [4.0, 3.0]
    assert out["b"][0].values.item() == 3.0 and out["b"][0].indices.item() == 0
    assert out["b"][1] == 7


def test_gradients_of_gradients_are_in_the_graph():
    def curvature(x):
        (g,) = cp.autograd.grad((x**3).sum(), x, create_graph=True)
        (h,) = cp.autograd.grad(g.sum(), x)
        return h

    traced = trace(curvature, cp.tensor([1.0, 2.0], requires_grad=True))
    assert traced(cp.tensor([3.0, 4.0])).tolist() == [18.0, 24.0]


def test_nothing_is_computed_and_nothing_changes_while_tracing():
    w = cp.ones(2, requires_grad=True)

    def step(x):
        (g,) = cp.autograd.grad((w * x).sum(), w)
        with cp.no_grad():
            w.sub_(g)
        return w.sum()

    traced = trace(step, cp.tensor([1.0, 3.0]))
    assert w.tolist() == [1.0, 1.0]
    assert len(traced.graph.writes) == 1
    assert traced(cp.tensor([1.0, 3.0])).item() == -2.0
    assert w.tolist() == [0.0, -2.0]
    assert traced(cp.tensor([1.0, 0.0])).item() == -3.0


def test_the_whole_training_step_agrees_with_eager_mode():
    cp.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    moments = [[cp.zeros_like(p) for p in net.parameters()] for net in nets]
    x, y = cp.randn(16, 3), cp.randn(16, 1)

    def step_of(net, buffers):
        def step(x, y):
            loss = nn.functional.mse_loss(net(x), y)
            params = list(net.parameters())
            grads = cp.autograd.grad(loss, params)
            with cp.no_grad():
                for p, g, m in zip(params, grads, buffers, strict=True):
                    m.mul_(0.9).add_(g)
                    p.sub_(m, alpha=0.1)
            return loss

        return step

    eager = step_of(nets[0], moments[0])
    traced = trace(step_of(nets[1], moments[1]), x, y)
    for _ in range(5):
        assert eager(x, y).item() == traced(x, y).item()
    for p, q in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        assert cp.equal(p, q)


@pytest.mark.parametrize(
    "decide",
    [
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x * x.sum().item(),
        lambda x: x * float(x[0]),
        lambda x: x + len(x.tolist()),
        lambda x: x * np.asarray(x).sum(),
        lambda x: x[x > 0],
    ],
    ids=["if", "item", "float", "tolist", "numpy", "mask"],
)
def test_a_decision_on_a_value_is_an_error_with_the_line(decide):
    with pytest.raises(cp.errors.TraceError, match=r"not known .*traced.*where\(\)") as caught:
        trace(decide, cp.ones(2))
    assert "test_trace.py:" in str(caught.value)


def test_a_value_from_outside_is_not_known_either():
    threshold = cp.tensor(1.0)
    with pytest.raises(cp.errors.TraceError, match="item"):
        trace(lambda x: x * threshold.item(), cp.ones(2))
    assert threshold.item() == 1.0


def test_random_numbers_are_drawn_at_every_run():
    own = cp.Generator().manual_seed(5)

    def f(x):
        y = nn.functional.dropout(x, 0.3) + cp.rand(4) + cp.randint(0, 9, (4,))
        y = y * cp.randn(4, generator=own) + cp.zeros(4).uniform_(-1, 1)
        return y[cp.randperm(4)]

    def runs(g):
        cp.manual_seed(1)
        own.manual_seed(5)
        return [g(cp.ones(4)).tolist() for _ in range(3)]

    state = cp.default_generator.get_state()
    traced = trace(f, cp.zeros(4))
    assert np.array_equal(state, cp.default_generator.get_state())  # nothing was drawn
    assert runs(traced) == runs(f)
    assert len({str(run) for run in runs(traced)}) == 3


def test_raw_random_words_are_refused():
    with pytest.raises(cp.errors.TraceError, match=r"random numbers.*every run"):
        trace(lambda x: x + float(cp.default_generator.uniform((), np.float32)), cp.ones(2))


def test_a_tensor_left_behind_is_an_error_and_names_its_op():
    kept = []
    with pytest.raises(cp.errors.TraceError, match=r"stored outside.*made by exp|exp.*stored"):
        trace(lambda x: kept.append(cp.exp(x)), cp.ones(2))
    with pytest.raises(cp.errors.TraceError, match="left behind"):
        kept[0].tolist()
    with pytest.raises(cp.errors.TraceError, match="another trace"):
        trace(lambda x: x + kept[0], cp.ones(2))


def test_backward_sets_gradients_when_it_is_run_and_not_before():
    w = cp.ones(2, requires_grad=True)
    traced = trace(lambda x: (w * x).sum().backward(), cp.ones(2))
    assert w.grad is None
    traced(cp.tensor([3.0, 4.0]))
    assert w.grad.tolist() == [3.0, 4.0]
    with pytest.raises(cp.errors.TraceError, match="whether a gradient is there"):
        traced(cp.ones(2))  # it would have to add to what is there
    adding = trace(lambda x: (w * x).sum().backward(), cp.ones(2))
    assert w.grad.tolist() == [3.0, 4.0]
    kept = w.grad
    adding(cp.ones(2))
    adding(cp.ones(2))
    assert w.grad is kept and kept.tolist() == [5.0, 6.0]
    w.grad = cp.zeros(2)
    adding(cp.ones(2))
    assert w.grad.tolist() == [1.0, 1.0]
    assert not traced.holds()
    w.grad = None
    assert traced.holds() and not adding.holds()


def test_after_an_error_gradients_are_what_they_were():
    w = cp.ones(2, requires_grad=True)
    w.grad = before = cp.zeros(2)

    def f(x):
        w.grad = None
        (w * x).sum().backward()
        raise ValueError

    with pytest.raises(ValueError):
        trace(f, cp.ones(2))
    assert w.grad is before


def test_a_weight_that_is_exchanged_is_found_again():
    w = cp.ones(2, requires_grad=True)
    traced = trace(lambda x: w * x, cp.ones(2))
    w.data = cp.tensor([5.0, 6.0])
    assert traced(cp.ones(2)).tolist() == [5.0, 6.0]
    w.data = cp.ones(3)
    assert not traced.holds()


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = 2.0
        self.drop = nn.Dropout(0.5)
        self.layer = nn.Linear(2, 2)

    def forward(self, x):
        return self.drop(self.layer(x)) * self.scale


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.eval(),
        lambda net: net.drop.eval(),
        lambda net: setattr(net, "scale", 3.0),
        lambda net: setattr(net.layer, "weight", nn.Parameter(cp.ones(2, 2))),
        lambda net: setattr(net, "drop", nn.Dropout(0.5)),
        lambda net: setattr(net.drop, "p", 0.1),
        lambda net: net.register_forward_hook(lambda *a: None),
    ],
    ids=["eval", "eval of a part", "option", "parameter", "child", "option of a part", "hook"],
)
def test_a_module_that_has_changed_is_noticed(change):
    net = Scaled()
    traced = trace(net, cp.ones(1, 2))
    net.scale = 2.0  # the same again
    with cp.no_grad():
        net.layer.weight.add_(1)  # another value, the same parameter
    traced(cp.ones(1, 2))
    change(net)
    with pytest.raises(cp.errors.TraceError, match="parts of a module"):
        traced(cp.ones(1, 2))


def test_a_module_that_is_made_inside_does_not_count():
    def f(x):
        return nn.MSELoss()(nn.Sequential(nn.Tanh(), nn.Sequential(nn.ReLU()))(x), x)

    traced = trace(f, cp.ones(3))
    assert traced.modules == () and traced.holds()
    x = cp.tensor([1.0, -2.0, 3.0])
    assert traced(x).item() == f(x).item()


def test_an_error_inside_ends_the_trace():
    with pytest.raises(ZeroDivisionError):
        trace(lambda x: x * (1 // 0), cp.ones(2))
    assert (cp.ones(2) + 1).tolist() == [2.0, 2.0]


def test_the_same_tensor_twice_is_refused():
    x = cp.ones(2)
    with pytest.raises(cp.errors.TraceError, match="given twice"):
        trace(lambda a, b: a + b, x, x)


def test_writing_to_overlapping_memory_from_outside_is_refused():
    base = cp.zeros(4)
    part = base[:2]
    with pytest.raises(cp.errors.TraceError, match="shares memory"):
        trace(lambda x: base.add_(part.sum() + x), cp.ones(4))


def test_equations_know_the_module_and_the_line():
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    traced = trace(net, cp.ones(1, 2))
    shown = text(traced.graph, origins=True)
    assert "relu(%" in shown and "# in Sequential.1" in shown


class TestMemory:
    """In-place ops, views and aliases do what they do in eager mode."""

    def same(self, f, *args):
        """f in eager mode and traced gives the same results and changes its arguments alike."""
        eager, traced_args = [[a.clone() for a in args] for _ in range(2)]
        wanted = f(*eager)
        traced = trace(f, *[a.clone() for a in args])
        got = traced(*traced_args)
        assert cp.equal(got, wanted)
        for a, b in zip(eager, traced_args, strict=True):
            assert cp.equal(a, b)

    def test_a_view_sees_a_later_write_to_its_base(self):
        def f(x):
            row = x[0]
            x.mul_(2)
            return row + 1

        self.same(f, cp.arange(6.0).reshape(2, 3))

    def test_a_write_to_a_view_changes_its_base_and_other_views(self):
        def f(x):
            row, column = x[1], x[:, 1]
            row.add_(10)
            column.mul_(3)
            return row * 2 + x.sum() + column.sum()

        self.same(f, cp.arange(6.0).reshape(2, 3))

    def test_views_of_views(self):
        def f(x):
            part = x.t()[1:][:, ::2]
            part[0, 1] = 7.0
            part.neg_()
            return part.reshape(-1)

        self.same(f, cp.arange(12.0).reshape(4, 3))

    def test_a_temporary_that_is_written_to(self):
        def f(x):
            h = x * 2
            v = h[1:]
            h.add_(1)
            v.zero_()
            return h * v.sum() + h

        self.same(f, cp.arange(3.0))

    def test_zeros_made_inside_start_at_zero_every_time(self):
        def f(x):
            total = cp.zeros(2)
            for _ in range(3):
                total += x
            return total

        traced = trace(f, cp.ones(2))
        assert not traced.graph.writes
        assert traced(cp.ones(2)).tolist() == traced(cp.ones(2)).tolist() == [3.0, 3.0]

    def test_detach_is_the_same_memory(self):
        def f(x):
            d = x.detach()
            d.add_(1)
            return x * 2

        self.same(f, cp.ones(2))

    def test_a_reshaped_copy_is_no_view(self):
        def f(x):
            flat = x.t().reshape(-1)
            x.add_(1)
            return flat

        self.same(f, cp.arange(6.0).reshape(2, 3))

    def test_a_reshape_that_may_be_a_copy_is_not_written_to(self):
        def f(x, write):
            y = x.t() * 2  # NumPy lays it out like x.t(): flatten() copies
            flat = y.flatten()
            if write:
                y.add_(1)
            return flat + 1

        self.same(lambda x: f(x, False), cp.arange(6.0).reshape(2, 3))
        with pytest.raises(cp.errors.TraceError, match=r"may or may not.*use clone\(\)"):
            trace(lambda x: f(x, True), cp.ones(2, 3))

        def plain(x):
            y = (x.t() * 2).clone()
            flat = y.flatten()
            y.add_(1)
            return flat + 1

        self.same(plain, cp.arange(6.0).reshape(2, 3))

    def test_contiguous_is_the_same_memory_or_a_copy_as_in_eager_mode(self):
        def f(x):
            same, other = (x @ x.t()).contiguous(), x.t().contiguous()
            same.add_(1)
            other.add_(1)
            return same.sum() + other.sum() + x

        self.same(f, cp.arange(6.0).reshape(2, 3))

        def doubtful(x):
            y = x.t() * 2
            y.contiguous().add_(1)
            return y

        with pytest.raises(cp.errors.TraceError, match="may or may not"):
            trace(doubtful, cp.ones(2, 3))

    def test_indexed_assignment(self):
        def f(x):
            x[1:, 0] = x[0, 1:]
            x[cp.tensor([0, 2]), cp.tensor([1, 1])] = -1.0
            return x

        self.same(f, cp.arange(9.0).reshape(3, 3))

    def test_a_number_under_a_mask_and_sorting(self):
        def f(x):
            x[x > 3] = 0.5
            x[cp.tensor([True, False, True])] = x.sum()
            return x.sort(1, descending=True).values + x.topk(2).indices.sum() + x.median()

        self.same(f, cp.arange(9.0).reshape(3, 3).flip(1))

    def test_a_swap_of_two_inputs(self):
        def f(x, y):
            old = x.clone()
            x.copy_(y)
            y.copy_(old)
            return x - y

        self.same(f, cp.zeros(2), cp.ones(2))

    def test_data_takes_a_new_value(self):
        w = cp.ones(2, requires_grad=True)

        def f(x):
            w.data = w.data - x
            return w * 1

        traced = trace(f, cp.ones(2))
        traced(cp.ones(2))
        assert w.tolist() == [0.0, 0.0]
