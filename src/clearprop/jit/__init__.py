"""Traced graphs as native code."""
