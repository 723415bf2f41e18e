"""The example of docs/sklearn.md runs."""

import re
from pathlib import Path

import pytest


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_example_of_the_page(capsys):
    page = Path(__file__).parents[2] / "docs/sklearn.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, str(page), "exec"), {"__name__": "page"})
    scores = re.findall(r"^0\.\d+", capsys.readouterr().out, re.MULTILINE)
    assert len(scores) == 2 and all(float(s) > 0.9 for s in scores)
