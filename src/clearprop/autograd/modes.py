"""Switches of recording: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`; each a
context manager and a decorator.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, TypeVar

from clearprop.core import local

F = TypeVar("F", bound=Callable[..., Any])


class _Mode:
    """Sets the grad flag of the running thread for a block or a function."""

    grad = True

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(local.c.grad)
        local.c.grad = self.grad

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        local.c.grad = self._before.pop()

    def __call__(self, f: F) -> F:
        if inspect.isgeneratorfunction(f):

            @functools.wraps(f)
            def resumed(*args: Any, **kwargs: Any) -> Any:
                return (yield from self._steps(f(*args, **kwargs)))

            return resumed  # type: ignore[return-value]

        @functools.wraps(f)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with type(self)._again(self):
                return f(*args, **kwargs)

        return wrapped  # type: ignore[return-value]

    def _steps(self, generator: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        """The generator, with the mode on while it runs and off while its caller does."""
        resume: Callable[[], Any] = functools.partial(next, generator)
        while True:
            try:
                with type(self)._again(self):
                    item = resume()
            except StopIteration as stop:
                return stop.value
            try:
                sent = yield item
            except GeneratorExit:
                with type(self)._again(self):
                    generator.close()
                raise
            except BaseException as error:
                resume = functools.partial(generator.throw, error)
            else:
                resume = functools.partial(generator.send, sent)

    def _again(self) -> _Mode:
        return type(self)()


class no_grad(_Mode):
    """Ops inside are not recorded, their results do not require grad.

    >>> import clearprop as cp
    >>> x = cp.ones(2, requires_grad=True)
    >>> with cp.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    grad = False

    def __new__(cls, f: Any = None) -> Any:
        mode = super().__new__(cls)
        if f is None:
            return mode
        _Mode.__init__(mode)
        return mode(f)  # @no_grad without brackets

    def __init__(self, f: Any = None) -> None:
        super().__init__()


class enable_grad(no_grad):
    """Ops inside are recorded, also within `no_grad`."""

    grad = True


class inference_mode(_Mode):
    """`no_grad` under PyTorch's other name. A difference from PyTorch: tensors made inside are
    ordinary tensors afterwards.
    """

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self.mode = mode
        self.grad = not mode
        self._outer: list[bool] = []

    def __enter__(self) -> None:
        super().__enter__()
        self._outer.append(local.c.inference)
        local.c.inference = self.mode

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        local.c.inference = self._outer.pop()

    def _again(self) -> _Mode:
        return inference_mode(self.mode)


class set_grad_enabled(_Mode):
    """Recording on or off from here on (also usable with `with`, then only inside)."""

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self._start = local.c.grad
        self.grad = bool(mode)
        local.c.grad = self.grad

    def __enter__(self) -> None:
        self._before.append(self._start)
        local.c.grad = self.grad

    def __call__(self, f: F) -> F:
        local.c.grad = self._start
        return super().__call__(f)

    def _again(self) -> _Mode:
        return set_grad_enabled(self.grad)


def is_grad_enabled() -> bool:
    """Whether ops are being recorded in this thread."""
    return local.c.grad
