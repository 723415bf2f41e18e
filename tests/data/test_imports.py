"""What importing the package loads."""

import subprocess
import sys

import pytest

from clearprop import data

HEAVY = ("pandas", "sklearn", "pyarrow", "scipy.stats")


def test_import_loads_neither_pandas_nor_scikit_learn():
    code = f"import sys, clearprop.data; print([m for m in {HEAVY!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("name", data.__all__)
def test_every_public_name_is_there(name):
    assert getattr(data, name) is not None
    assert name in dir(data)


def test_another_name_is_not_there():
    with pytest.raises(AttributeError, match="no attribute 'DataLaoder'"):
        data.DataLaoder
