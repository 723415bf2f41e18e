"""Time per training step: clearprop beside PyTorch and JAX, in one run, on one thread.

    python bench/steps.py                     all workloads, all contenders
    python bench/steps.py W1 W11 --rounds 9   some of them
    python bench/steps.py --peers "torch eager" clearprop --json out.json

What is timed, and how, is told in docs/benchmarks.md.
"""

from __future__ import annotations

import os

from timing import single_thread

single_thread()
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import argparse  # noqa: E402
import gc  # noqa: E402
import json  # noqa: E402
import platform  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
from importlib import metadata  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import tables  # noqa: E402
from clock import Probe, take_turns  # noqa: E402
from contenders import COLUMNS, Program, SkipError, variants  # noqa: E402
from first_call import cold_and_warm  # noqa: E402
from peak import peak  # noqa: E402
from references import reference, worst_error  # noqa: E402
from rich.console import Console  # noqa: E402
from targets import DEPTHS  # noqa: E402
from workloads import Workload, chosen  # noqa: E402


def entrants(w: Workload, columns: list[str]) -> tuple[dict[str, Program], list[dict[str, Any]]]:
    """The programs that compute the right numbers, and a record of each contender of a row."""
    programs: dict[str, Program] = {}
    records: list[dict[str, Any]] = []
    expected = reference(w)
    for column in columns:
        try:
            makes = variants(column, w)
        except SkipError as why:
            records.append({"column": column, "variant": "", "note": str(why)})
            continue
        for name, make in makes.items():
            record: dict[str, Any] = {"column": column, "variant": name, "note": ""}
            records.append(record)
            try:
                program = make()
            except Exception as error:  # a contender that fails is reported, the others run
                first = (str(error).strip() or "without a message").splitlines()[0]
                record["note"] = f"{type(error).__name__}: {first}"
                continue
            record["error"] = worst_error(program.values, expected)
            record["first_call"] = program.first
            if record["error"] > w.tolerance:
                record["note"] = f"refused: off by {record['error']:.1e}"
                continue
            programs[f"{column}|{name}"] = program
    return programs, records


def measure(w: Workload, columns: list[str], rounds: int, seconds: float) -> dict[str, Any]:
    """One row of the table."""
    programs, records = entrants(w, columns)
    gc.collect()
    gc.disable()
    try:
        timings = take_turns(programs, rounds, seconds, Probe())
    finally:
        gc.enable()
    for record in records:
        timing = timings.get(f"{record['column']}|{record['variant']}")
        if timing is not None:
            record.update(vars(timing))
    return {"key": w.key, "title": w.title, "contenders": records}


def in_a_process(w: Workload, options: argparse.Namespace) -> dict[str, Any]:
    """The row, measured in a process of its own: all contenders in one, no row disturbs another."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "row.json"
        run = [sys.executable, __file__, w.key, "--row", str(file), "--peers", *options.peers]
        run += ["--rounds", str(options.rounds), "--seconds", str(options.seconds)]
        done = subprocess.run(run, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if file.exists():
            found: dict[str, Any] = json.loads(file.read_text())
            return found
    last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    records = [{"column": c, "variant": "", "note": "its process died"} for c in options.peers]
    return {"key": w.key, "title": w.title, "contenders": records, "died": last}


def first_call(what: str, times: int = 3) -> dict[str, Any]:
    """Seconds of clearprop's first call, or why there are none."""
    try:
        cold, warm = cold_and_warm(what, times)
    except RuntimeError as why:
        return {"note": str(why)}
    return {"cold": cold, "warm": warm}


def machine() -> dict[str, Any]:
    """Where this ran, and with which versions."""
    names = ("clearprop", "numpy", "llvmlite", "torch", "jax")
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    model = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "")
    return {"cpu": model or platform.processor(), "python": platform.python_version(), **versions}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Time per training step of clearprop and others.")
    parser.add_argument("workloads", nargs="*", help="W1 ... W11; all by default")
    parser.add_argument("--rounds", type=int, default=15, help="how often each is measured")
    parser.add_argument("--seconds", type=float, default=0.02, help="time of one measurement")
    parser.add_argument("--peers", nargs="+", choices=list(COLUMNS), metavar="COLUMN",
                        default=list(COLUMNS), help=f"of: {', '.join(COLUMNS)}")  # fmt: skip
    parser.add_argument("--no-depth", action="store_true", help="leave out deep networks")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--row", type=Path, help=argparse.SUPPRESS)  # measure here, write to a file
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.row:
        (w,) = chosen(options.workloads)
        options.row.write_text(
            json.dumps(measure(w, options.peers, options.rounds, options.seconds))
        )
        return
    console = Console(width=None if sys.stdout.isatty() else 170)
    result: dict[str, Any] = {"machine": machine(), "peak": peak(), "rows": [], "depths": {}}
    console.print(tables.heading(result["machine"], result["peak"]))
    for w in chosen(options.workloads):
        row = in_a_process(w, options)
        if "clearprop" in options.peers:
            row["first_call"] = first_call(w.key)
        result["rows"].append(row)
        console.print(tables.details(row))
    if "clearprop" in options.peers and not options.no_depth:
        result["depths"] = {n: first_call(str(n), times=1) for n in DEPTHS}
    result["peak"] = max(result["peak"], peak())
    for table in tables.summaries(result):
        console.print(table)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
