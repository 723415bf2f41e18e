"""Ctrl-C and SIGTERM as a request: a flag that the training loop reads between steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptRequest:
    """While open, SIGINT and SIGTERM only set `signal`; outside the main thread nothing changes.

    >>> import signal
    >>> from clearprop.train.interrupt import InterruptRequest
    >>> with InterruptRequest() as request:
    ...     signal.raise_signal(signal.SIGINT)
    ...     request.signal == signal.SIGINT
    True
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> InterruptRequest:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            # None: the handler before was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
