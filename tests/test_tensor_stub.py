"""core/tensor.pyi, which type checkers and editors read, says what Tensor can do."""

import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[1] / "tools" / "tensor_stub.py"


def test_the_stub_is_what_the_tool_writes():
    run = subprocess.run([sys.executable, TOOL, "--check"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
