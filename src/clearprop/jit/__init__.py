"""Traced graphs as native code."""

from clearprop.jit.compiled import Compiled, compile

__all__ = ["Compiled", "compile"]
