"""What every test starts from: the same random numbers, and warnings of clearprop as errors."""

import importlib.util
import os

import numpy as np
import pytest

import clearprop as cp


@pytest.fixture(autouse=True)
def same_random_numbers():
    """The default generator and NumPy's start every test in the same state."""
    cp.manual_seed(0)
    np.random.seed(0)


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "error:::clearprop")
    os.environ["CLEARPROP_CACHE"] = "0"  # what is compiled in a test, or a process that it starts,
    cp.flags.cache = 0  # leaves nothing behind
    if os.environ.get("CLEARPROP_ORACLES") == "required" and not importlib.util.find_spec("torch"):
        raise pytest.UsageError("CLEARPROP_ORACLES=required, but torch is not installed")
