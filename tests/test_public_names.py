"""What `import clearprop` offers: every name is there, described, and nothing else leaks out."""

import importlib
import inspect
import subprocess
import sys

import pytest

import clearprop as cp

PACKAGES = [
    "clearprop",
    "clearprop.accelerator",
    "clearprop.amp",
    "clearprop.autograd",
    "clearprop.autograd.functional",
    "clearprop.autograd.graph",
    "clearprop.backends",
    "clearprop.backends.cudnn",
    "clearprop.cuda",
    "clearprop.cuda.amp",
    "clearprop.data",
    "clearprop.distributions",
    "clearprop.distributions.constraints",
    "clearprop.distributions.transforms",
    "clearprop.doctor",
    "clearprop.explanation",
    "clearprop.func",
    "clearprop.linalg",
    "clearprop.nn",
    "clearprop.nn.functional",
    "clearprop.nn.functional.native",
    "clearprop.nn.init",
    "clearprop.nn.parameter",
    "clearprop.nn.utils",
    "clearprop.nn.utils.parametrizations",
    "clearprop.nn.utils.parametrize",
    "clearprop.mps",
    "clearprop.ops",
    "clearprop.optim",
    "clearprop.optim.lr_scheduler",
    "clearprop.optim.swa_utils",
    "clearprop.random",
    "clearprop.serialization",
    "clearprop.settings",
    "clearprop.sklearn",
    "clearprop.special",
    "clearprop.testing",
    "clearprop.train",
    "clearprop.utils",
    "clearprop.utils.checkpoint",
    "clearprop.utils.data",
    "clearprop.version",
    "clearprop.xpu",
]
NAMES = [(p, n) for p in PACKAGES for n in getattr(importlib.import_module(p), "__all__", ())]


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_it_offers(package):
    module = importlib.import_module(package)
    assert module.__doc__
    if package != "clearprop.ops":  # the names of ops are those of clearprop
        assert len(module.__all__) == len(set(module.__all__)) > 0


@pytest.mark.parametrize(("package", "name"), NAMES, ids=lambda x: x)
def test_every_public_name_is_there_and_described(package, name):
    thing = getattr(importlib.import_module(package), name)
    if inspect.isfunction(thing) or inspect.isclass(thing):
        assert (thing.__doc__ or "").strip(), f"{package}.{name} has no docstring"


def test_another_name_is_not_there():
    with pytest.raises(AttributeError, match="module 'clearprop' has no attribute 'tensr'"):
        cp.tensr


def test_importing_loads_nothing_heavy():
    heavy = [
        "scipy.special",
        "scipy.linalg",
        "matplotlib",
        "pandas",
        "sklearn",
        "rich",
        "typer",
        "llvmlite",
        "jinja2",
        "torch",
    ]
    code = f"import sys, clearprop; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
