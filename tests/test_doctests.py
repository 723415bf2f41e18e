"""The examples in docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import clearprop as cp
from clearprop.errors import MissingExtraError

MODULES = sorted(m.name for m in pkgutil.walk_packages(cp.__path__, "clearprop."))


@pytest.mark.parametrize("name", MODULES)
def test_examples_of(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = pytest.importorskip(name, exc_type=MissingExtraError)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    user = {"np": np, "__name__": "__main__"}  # an example is a user's program
    result = doctest.testmod(module, extraglobs=user, optionflags=flags)
    assert result.failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    modules = [importlib.import_module(name) for name in MODULES if ".onnx." not in name]
    assert sum(len(t.examples) for m in modules for t in finder.find(m)) > 100
