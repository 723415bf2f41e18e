"""Programs as text, run under the doctor in this process."""

from __future__ import annotations

import contextlib
import io
import linecache
from pathlib import Path
from typing import Any

from clearprop.cli.doctor import run
from clearprop.doctor import Report, Session

PRELUDE = """\
import math
import numpy as np
import clearprop as torch
from clearprop import nn, optim
import clearprop.nn.functional as F

torch.manual_seed(0)
rng = np.random.default_rng(0)


def reals(*shape, scale=1.0):
    return torch.tensor(scale * rng.standard_normal(shape), dtype=torch.float32)


x = reals(96, 6)
y = torch.sin(x[:, :1]) + 0.5 * x[:, 1:2] + 0.1 * reals(96, 1)
c = (x @ reals(6, 3)).argmax(1)
b = (x[:, :1] + x[:, 1:2] > 0).float()


def mlp(n_in, *sizes, act=nn.ReLU):
    layers = []
    for n in sizes[:-1]:
        layers += [nn.Linear(n_in, n), act()]
        n_in = n
    return nn.Sequential(*layers, nn.Linear(n_in, sizes[-1]))


def fit(loss_of, opt, steps=12):
    for step in range(steps):
        loss = loss_of()
        opt.zero_grad()
        loss.backward()
        opt.step()


"""


def variants(source: str) -> tuple[str, str, list[int]]:
    """(faulty program, fixed twin, lines of the fault). A line that ends in `#!` is the fault, `#-`
    stands only in the faulty program, `#+ ...` only in the fixed one; `#@` marks a place in both.
    """
    faulty, fixed, lines = PRELUDE.splitlines(), PRELUDE.splitlines(), []
    for line in source.strip("\n").splitlines():
        bare = line.lstrip()
        if bare.startswith("#+ "):
            fixed.append(line[: len(line) - len(bare)] + bare[3:])
            continue
        faulty.append(line)
        if line.endswith(("#!", "#@")):
            lines.append(len(faulty))
        if not line.endswith(("#!", "#-")):
            fixed.append(line)
    return "\n".join(faulty) + "\n", "\n".join(fixed) + "\n", lines


def diagnose(source: str, folder: Path, **options: Any) -> tuple[Report, Session]:
    """What the doctor says of a program."""
    program = folder / "program.py"
    program.write_text(source)
    linecache.checkcache()
    options = {"max_steps": 400, "thorough": True} | options
    session = Session(**options)
    with contextlib.redirect_stdout(io.StringIO()):
        session.failure = run(program, [], session)  # type: ignore[attr-defined]
    return session.report(), session
