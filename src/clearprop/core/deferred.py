"""Modules that are imported when one of their functions is first used."""

from __future__ import annotations

import importlib
from typing import Any


class Deferred:
    """Stands for a module that takes longer to import than most programs have use for.

    >>> special = Deferred("scipy.special")
    >>> float(special.erf(0.0))
    0.0
    """

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        found = getattr(importlib.import_module(self._module), name)
        setattr(self, name, found)  # from now on an attribute like any other
        return found


special = Deferred("scipy.special")
