"""How long `import clearprop` takes on top of `import numpy`: fresh processes, taken in turn.

python bench/import_time.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 15
CODE = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


def seconds(module: str) -> float:
    """Seconds that one import takes in a fresh interpreter."""
    run = [sys.executable, "-c", CODE.format(module)]
    return float(subprocess.run(run, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    times: dict[str, list[float]] = {"numpy": [], "clearprop": []}
    for name in times:
        seconds(name)  # files come into memory, bytecode is written
    for _ in range(ROUNDS):
        for name, found in times.items():
            found.append(seconds(name))
    middle = {name: statistics.median(found) for name, found in times.items()}
    added = middle["clearprop"] - middle["numpy"]
    print(f"import numpy      {middle['numpy']:.3f} s")
    print(f"import clearprop  {middle['clearprop']:.3f} s")
    print(f"added             {added:.3f} s (wanted: under 0.25)")


if __name__ == "__main__":
    main()
