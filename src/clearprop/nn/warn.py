"""Warnings that point at the user's line, however deep in modules they arise."""

from __future__ import annotations

import sys
import warnings

from clearprop.core.provenance import user_frame


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """A warning at the first frame outside clearprop; by default shown once per line."""
    frame = user_frame(sys._getframe(1))
    if frame is None:
        warnings.warn(text, category, stacklevel=2)
        return
    warnings.warn_explicit(
        text,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        frame.f_globals.get("__name__", ""),
        frame.f_globals.setdefault("__warningregistry__", {}),
    )
