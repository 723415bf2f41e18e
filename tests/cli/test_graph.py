"""`clearprop graph`: what a function of a file returns, as SVG."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

PROGRAM = """
import clearprop as cp
from clearprop import nn
from clearprop.graph import trace

def build():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))

def pair():
    return build(), cp.zeros(2, 4)

def loss():
    x = cp.tensor(1.0, requires_grad=True)
    y = cp.exp(x)
    return y * y + x

def traced():
    return trace(build(), cp.zeros(2, 4))

def nothing():
    return 3

if __name__ == "__main__":
    raise SystemExit("a program's main part is not run")
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.mark.parametrize(
    ("name", "options", "found"),
    [
        ("pair", (), "Linear"),
        ("build", ("--input", "2,4"), "ReLU"),
        ("build", ("--input", "2,4", "--ops"), "weight"),
        ("loss", ("--values", "--gradients"), "= 8.38906"),
        ("traced", (), "output"),
    ],
)
def test_a_function_is_drawn(run, program, name, options, found):
    code, out, err = run("graph", f"{program}:{name}", *options, "-o", "g.svg")
    assert (code, err) == (0, "")
    assert "boxes in g.svg" in out
    svg = Path("g.svg").read_text(encoding="utf-8")
    assert ET.fromstring(svg) is not None and found in svg


@pytest.mark.parametrize(
    ("what", "options", "words"),
    [
        ("{}:bild", (), "did you mean 'build'"),
        ("{}:build", (), "--input 1,784"),
        ("{}:build", ("--input", "a,b"), "is no shape"),
        ("{}:nothing", (), "neither a tensor nor a module"),
        ("{}", (), "is not FILE.py:FUNCTION"),
        ("missing.py:build", (), "there is no file"),
    ],
)
def test_mistakes(run, program, what, options, words):
    code, _, err = run("graph", what.format(program), *options)
    assert code == 2
    assert words in " ".join(err.replace("│", " ").split())
