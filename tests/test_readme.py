"""What the README promises to a newcomer: its example runs, its commands and files exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from clearprop.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def printed(program: str, folder: Path) -> str:
    """What a program prints, run in a fresh interpreter with warnings as errors."""
    file = folder / "example.py"
    file.write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", str(file)],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_is_short_and_learns(tmp_path):
    (example,) = blocks("python")
    assert len(example.splitlines()) <= 22
    output = printed(example, tmp_path)
    accuracy = re.search(r"accuracy (\S+)", output)
    assert accuracy and float(accuracy[1]) > 0.97, output
    assert re.search(r"linear in Sequential\.4 at .*example\.py:\d+", output), output


def test_the_op_that_is_added_in_the_docs_works(tmp_path):
    (program,) = blocks("python", (ROOT / "docs/adding-an-op.md").read_text(encoding="utf-8"))
    assert "<LogCoshBackward at " in printed(program, tmp_path)


def test_the_two_commands_are_there():
    assert "pip install . && clearprop train digits\n" in blocks("bash")
    assert "pip install '.[test]' && pytest\n" in blocks("bash")


def test_every_command_that_is_named_exists():
    named = re.findall(r"clearprop +([a-z-]+)", "\n".join(blocks("bash")))
    assert {"train", "predict", "env"} <= set(named) <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_leads_to_a_file(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_source_file_that_is_named_exists(page):
    named = re.findall(r"`([\w-]+/[\w./-]+\.(?:py|pyi|md))`", page.read_text(encoding="utf-8"))
    folders = (ROOT, ROOT / "src" / "clearprop")
    assert [n for n in named if not any((folder / n).exists() for folder in folders)] == []


def test_every_figure_has_a_command():
    table = README.split("## Figures")[1].split("\n## ")[0]
    rows = [line.split("|")[1:-1] for line in table.splitlines() if line.startswith("|")][2:]
    assert rows
    for what, figure, command in rows:
        words = shlex.split(command.strip().strip("`"))
        assert what.strip() and re.search(r"\d", figure)
        if words[0] == "clearprop":
            assert words[1] in COMMANDS
        else:
            assert words[0] == "python" and (ROOT / words[1]).exists()
