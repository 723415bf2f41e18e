"""Runs the programs of examples/torch_style, under PyTorch as they are, under clearprop with other
import lines.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from pathlib import Path
from unittest import mock

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "torch_style"
PROGRAMS = {
    "actor_critic": ["--episodes", "12"],
    "char_lstm": ["--epochs", "4", "--dropout", "0"],
    "dcgan": ["--epochs", "2", "--samples", "320"],
    "gpt": ["--steps", "16", "--batch-size", "4"],
    "vae": ["--epochs", "2"],
}
IMPORT = re.compile(r"^(import|from) torch\b", re.M)


def source(name: str, library: str) -> str:
    """The program, importing from `library`; nothing else is changed."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    if library == "torch":
        return text
    text = re.sub(r"^import torch$", f"import {library} as torch", text, flags=re.M)
    return IMPORT.sub(rf"\1 {library}", text)


def run(name: str, library: str, arguments: list[str] | None = None) -> str:
    """What the program prints."""
    argv = [f"{name}.py", *(PROGRAMS[name] if arguments is None else arguments)]
    code = compile(source(name, library), str(FOLDER / f"{name}.py"), "exec")
    out = io.StringIO()
    with contextlib.redirect_stdout(out), mock.patch.object(sys, "argv", argv):
        exec(code, {"__name__": "__main__"})
    return out.getvalue()


def curve(printed: str) -> list[list[float]]:
    """The numbers in the lines that tell a loss."""
    lines = [line for line in printed.splitlines() if "loss" in line]
    return [[float(n) for n in re.findall(r"-?\d+\.\d+", line)] for line in lines]
