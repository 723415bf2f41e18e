"""Write docs/coverage.md: which of PyTorch's names clearprop has.

python tools/coverage.py           # write
python tools/coverage.py --check   # exit 1 if a name is missing or the file is out of date
python tools/coverage.py --torch   # also: names in the list that PyTorch does not have
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from coverage_names import NAMES, rows

PAGE = Path(__file__).resolve().parents[1] / "docs" / "coverage.md"
HEAD = """# Coverage

Every public name of PyTorch that small and medium networks use, and whether clearprop has it: **M**
must be there, **S** should. `python tools/coverage.py` writes this page; a test keeps it true.

What is left out on purpose: CUDA and other devices, complex numbers, sparse, quantised and nested
tensors, named dimensions, worker processes.
"""


def find(root: str, module: str) -> Any:
    """The module (or class) that stands for one of PyTorch's; None if there is none."""
    path = module.replace("torch", root, 1)
    try:
        return importlib.import_module(path)
    except ImportError:
        pass
    parent, _, last = path.rpartition(".")
    try:
        return getattr(importlib.import_module(parent), last, None) if parent else None
    except ImportError:
        return None


def has(root: str, module: str, name: str) -> bool:
    home = find(root, module)
    return home is not None and hasattr(home, name)


def page() -> tuple[str, list[str]]:
    """The page, and the names that are missing."""
    out, missing = [HEAD], []
    count = {"M": [0, 0], "S": [0, 0]}
    for module in NAMES:
        out.append(f"\n## {module}\n")
        for mark, word in (("M", "must"), ("S", "should")):
            names = [n for m, n, k in rows() if m == module and k == mark]
            if not names:
                continue
            cells = []
            for name in names:
                there = has("clearprop", module, name)
                count[mark][0] += there
                count[mark][1] += 1
                cells.append(f"`{name}`" if there else f"~~`{name}`~~")
                if not there:
                    missing.append(f"{module}.{name} ({mark})")
            out.append(f"{mark} ({word}), {len(names)} names: {', '.join(cells)}\n")
    total = ", ".join(f"{mark} {a} of {b}" for mark, (a, b) in count.items())
    out.insert(1, f"\nThere: {total}. Struck out: not yet there.\n")
    return "".join(out), missing


def main() -> int:
    text, missing = page()
    if "--torch" in sys.argv:
        strange = [f"{m}.{n}" for m, n, _ in rows() if not has("torch", m, n)]
        print("not in PyTorch:", ", ".join(strange) or "none")
    if missing:
        print(f"{len(missing)} missing: {', '.join(missing)}")
    if "--check" in sys.argv:
        same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        if not same:
            print(f"{PAGE.name} is out of date; run python tools/coverage.py")
        return 0 if same and not missing else 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"{PAGE.name}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
