"""no_grad, enable_grad, inference_mode, set_grad_enabled: what they switch, and what they put
back.
"""

from __future__ import annotations

import threading

import pytest

import clearprop as cp
from clearprop.autograd import is_grad_enabled

OFF = {
    "no_grad": cp.no_grad,
    "inference_mode": cp.inference_mode,
    "set_grad_enabled": lambda: cp.set_grad_enabled(False),
}
ON = {
    "enable_grad": cp.enable_grad,
    "inference_mode(False)": lambda: cp.inference_mode(False),
    "set_grad_enabled": lambda: cp.set_grad_enabled(True),
}


@pytest.fixture(autouse=True)
def recording_is_on_before_and_after():
    assert is_grad_enabled()
    yield
    assert is_grad_enabled()


def records():
    """Whether an op on a leaf is being recorded right now."""
    on = (cp.ones(1, requires_grad=True) * 2).requires_grad
    assert on == is_grad_enabled()
    return on


@pytest.mark.parametrize("mode", OFF.values(), ids=OFF)
def test_nothing_is_recorded_inside(mode):
    with mode():
        assert not records()
    assert records()


@pytest.mark.parametrize("mode", ON.values(), ids=ON)
def test_recording_can_be_switched_on_inside_no_grad(mode):
    with cp.no_grad():
        with mode():
            assert records()
        assert not records()


@pytest.mark.parametrize("mode", OFF.values(), ids=OFF)
def test_the_old_state_returns_after_an_exception(mode):
    with pytest.raises(KeyError), mode():
        raise KeyError
    assert records()


@pytest.mark.parametrize("mode", OFF.values(), ids=OFF)
def test_as_a_decorator(mode):
    @mode()
    def f(a, *, b):
        """Text."""
        return a + b, records()

    assert records()
    assert f(1, b=2) == (3, False)
    assert f.__name__ == "f"
    assert f.__doc__ == "Text."
    assert records()


@pytest.mark.parametrize("mode", [cp.no_grad, cp.enable_grad])
def test_as_a_decorator_without_brackets(mode):
    @mode
    def f():
        return records()

    with cp.set_grad_enabled(mode is cp.no_grad):
        assert f() is (mode is cp.enable_grad)


def test_a_decorated_function_may_call_itself():
    @cp.no_grad()
    def f(n):
        assert not records()
        return 0 if n == 0 else 1 + f(n - 1)

    assert f(5) == 5


def test_a_decorated_function_that_raises_puts_the_state_back():
    @cp.no_grad()
    def f():
        raise KeyError

    with pytest.raises(KeyError):
        f()
    assert records()


def test_one_object_can_be_entered_again_while_it_is_open():
    mode = cp.no_grad()
    with mode:
        with mode:
            assert not records()
        assert not records()
    assert records()


def test_deep_nesting_unwinds_step_by_step():
    wanted = [bool(i % 3) for i in range(50)]
    opened = []
    for on in wanted:
        mode = cp.enable_grad() if on else cp.no_grad()
        mode.__enter__()
        opened.append(mode)
        assert records() == on
    for mode, on in zip(reversed(opened), [*reversed(wanted[:-1]), True], strict=True):
        mode.__exit__(None, None, None)
        assert records() == on


def test_set_grad_enabled_works_as_a_statement():
    cp.set_grad_enabled(False)
    try:
        assert not records()
    finally:
        cp.set_grad_enabled(True)
    assert records()


def test_set_grad_enabled_as_a_decorator_leaves_the_state_at_definition():
    @cp.set_grad_enabled(False)
    def f():
        return records()

    assert records()
    assert f() is False


def test_a_mode_belongs_to_its_thread():
    seen = []
    with cp.no_grad():
        thread = threading.Thread(target=lambda: seen.append(records()))
        thread.start()
        thread.join()
        assert not records()
    assert seen == [True]


def test_a_generator_closed_inside_no_grad_puts_the_state_back():
    def numbers():
        with cp.no_grad():
            yield records()
            yield records()

    g = numbers()
    assert next(g) is False
    g.close()
    assert records()


def test_history_made_before_survives_the_block():
    x = cp.ones(2, requires_grad=True)
    y = x * 3
    with cp.no_grad():
        y * 2
        assert y.requires_grad
    y.sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_a_leaf_made_in_no_grad_can_require_grad():
    with cp.no_grad():
        x = cp.ones(1, requires_grad=True)
    (x * 2).backward()
    assert x.grad.tolist() == [2.0]


def test_a_parameter_may_be_overwritten_in_no_grad_only():
    x = cp.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        x.add_(1)
    with cp.no_grad():
        x.add_(1)
    assert x.requires_grad
    assert x.is_leaf
    assert x.tolist() == [2.0, 2.0]


def test_a_decorated_generator_records_nothing_and_its_caller_does():
    @cp.no_grad()
    def count():
        try:
            sent = yield records()
        except KeyError:
            sent = "caught"
        yield sent, records()
        return "end"

    g = count()
    assert next(g) is False
    assert records()
    assert g.send(7) == (7, False)
    assert records()
    with pytest.raises(StopIteration, match="end"):
        next(g)
    g = count()
    next(g)
    assert g.throw(KeyError()) == ("caught", False)
    g.close()
    assert records()
