"""Observing what runs as machine code, where no op and no backward pass is seen: the Python
function that a compiled one was made of runs once more, before the compiled call, and everything
that it changes is put back.

Calls of compiled functions do not pass through Python. `again` counts up what they look at, so that
the next one does; a timer does that so seldom that all observations together cost a few percent.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from clearprop.core import local
from clearprop.core.state import changed
from clearprop.doctor.keeper import Keeping, KeepingObserver, kept

if TYPE_CHECKING:
    from clearprop.doctor.session import Session

SHARE = 0.03  # of the time, for observations
LONGEST = 60.0  # seconds between two of them


class CompiledSteps:
    """The compiled functions that are called in a session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.due: dict[int, float] = {}  # by id of the function: when to observe it next
        self.timer: threading.Timer | None = None

    def again(self) -> None:
        """Let the next compiled call pass through Python."""
        changed()

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def called(self, function: Any, version: Any, args: Any, kwargs: Any) -> None:
        """A call is about to run."""
        start = time.perf_counter()
        if self.due.get(id(function), 0.0) > start or local.c.interpreter is not None:
            return
        self._observe(function, version, args, kwargs)
        end = time.perf_counter()
        wait = min((end - start) / SHARE, LONGEST)
        self.due[id(function)] = end + wait
        self.stop()
        self.timer = threading.Timer(wait, self.again)
        self.timer.daemon = True
        self.timer.start()

    def _observe(self, function: Any, version: Any, args: Any, kwargs: Any) -> None:
        """One eager run under observation."""
        session, c = self.session, local.c
        before = c.interpreter, c.scope, c.grad
        mine = session._before, session._observer, session.sampling, session._busy
        with kept(version.traced) as keeper:
            try:
                session.log.clear()
                session._before = Keeping(keeper)
                session._observer = KeepingObserver(session.log, keeper)
                session.sampling, session._busy = (lambda _: True), False
                c.interpreter = session._observer
                function.function(*args, **kwargs)
            except Exception as error:
                session.notes.append(
                    f"the doctor could not follow a compiled step: {type(error).__name__}: {error}"
                )
            finally:
                session._before, session._observer, session.sampling, session._busy = mine
                c.interpreter, c.scope, c.grad = before
