"""Every file of examples/ runs on its own, says what it claims, and stays short."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))

# What a reader is meant to see. A number in the text must be at most the bound beside it.
SAYS = {
    "any_dag": [
        (r"layer l +plain +with skips", None),
        (r"sum of the four - gradient of the shared W: (\S+)", 1e-12),
        (r"gradient of both - sum of the two: (\S+)", 1e-6),
    ],
    "backprop_by_hand": [
        (r"before training .* by hand - autograd: (\S+)", 1e-12),
        (r"after \d+ steps .* by hand - autograd: (\S+)", 1e-12),
        (r"after \d+ steps +loss +(\S+),", 1e-12),
    ],
    "blocks": [
        (r"gradcheck of T: +True", None),
        (r"gradcheck of WrongT: .*mismatch for output 0 with respect to input 1", None),
        (r" 600   (\S+)", 1e-3),
    ],
    "chain_rule": [
        (r"\|sum over paths - \(12x \+ 8e\^\{2x\}\)\|: (\S+)", 1e-12),
        (r"\|backward +- \(12x \+ 8e\^\{2x\}\)\|: (\S+)", 1e-12),
        (r"2\^50 = 1\.1e\+15 paths: dy/du = 1\.0 ", None),
    ],
    "clamp_and_sqrt": [
        (r"clamp in training +0\.0000 +0\.50\n", None),
        (r"sigmoid, cross-entropy +0\.\d+ +1\.00\n", None),
        (r"√E .* nan +0\.05", None),
    ],
    "feature_transform": [
        (r"x1, x2 +2 +0\.\d+ +0\.\d+", None),
        (r"products to degree 2 +5 +1\.000", None),
        (r"waves sin kx, cos kx +8 +0\.9\d+", None),
    ],
    "nested_modules": [
        (r"encoder\.blocks\.1\.inner\.2\.weight +\(8, 8\) +64\n", None),
        (r"got 8; .* \(in Net\.encoder\.blocks\.1\.inner\.2, at .*nested_modules\.py:\d+\)", None),
        (r"accuracy 0\.9\d+", None),
    ],
    "neuron_to_network": [
        (r"largest difference of the three ways: (\S+)", 1e-12),
        (r"parameters: 26 ", None),
    ],
    "sklearn_pipeline": [
        (r"hidden_layer_sizes = \(\d+", None),
        (r"accuracy on the held-out rows: (?:0\.9\d+|1\.000)", None),
        (r"three-fold: 0\.9\d+", None),
    ],
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_runs_without_a_warning_and_says_what_it_claims(path, tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", str(path)],
        cwd=tmp_path,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stderr == ""
    for pattern, bound in SAYS.get(path.stem, ()):
        found = re.search(pattern, done.stdout)
        assert found, f"{pattern!r} is not in:\n{done.stdout}"
        if bound is not None:
            assert float(found[1]) <= bound, found[0]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_is_short_and_says_what_it_shows(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    assert text.startswith('"""')


def test_every_example_of_the_lecture_is_there():
    assert {path.stem for path in EXAMPLES} >= set(SAYS)


def test_every_example_is_listed_in_the_readme():
    readme = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    assert [p.name for p in EXAMPLES if f"examples/{p.name}" not in readme] == []
