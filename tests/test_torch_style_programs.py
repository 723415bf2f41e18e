"""Programs in plain PyTorch style run with nothing changed but their import lines."""

import re

import pytest

from torch_style import FOLDER, PROGRAMS, curve, run, source


def test_every_program_is_run():
    assert {p.stem for p in FOLDER.glob("*.py")} == set(PROGRAMS)


@pytest.mark.parametrize("name", PROGRAMS)
def test_only_the_import_lines_are_changed(name):
    before, after = (source(name, lib).splitlines() for lib in ("torch", "clearprop"))
    assert len(before) == len(after) < 120
    changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert changed
    assert all(re.match(r"(import|from) torch\b", a) for a, _ in changed)
    assert not re.search(r"^(import|from) torch\b", "\n".join(after), re.M)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_program_runs_and_learns(name):
    printed = run(name, "clearprop")
    losses = [row[-1] for row in curve(printed)]
    assert len(losses) >= 2, printed
    if name in ("char_lstm", "gpt", "vae"):  # the others play against somebody
        assert losses[-1] < losses[0]
    assert len(printed.splitlines()[-1]) > 5


@pytest.mark.nightly
def test_the_pole_is_balanced_longer_after_a_while():
    printed = run("actor_critic", "clearprop", ["--episodes", "60"])
    rewards = [int(r) for r in re.findall(r"reward (\d+) loss", printed)]
    assert sum(rewards[-5:]) > 1.5 * sum(rewards[:5]), rewards
