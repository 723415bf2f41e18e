"""What bench/steps.py prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from targets import (
    COLD_MLP,
    COLD_OTHERS,
    DEEPEST,
    MLP_ROWS,
    PEAK_ROWS,
    PEAK_SHARE,
    RATIOS,
    WARM,
    multiply_adds,
    ratios,
)
from workloads import WORKLOADS

Row = dict[str, Any]


def heading(machine: dict[str, str], peak: float) -> str:
    versions = ", ".join(f"{name} {v}" for name, v in machine.items() if name != "cpu")
    speed = f"{peak / 1e9:.0f} GFLOP/s of float32 multiply-adds on one core"
    return f"{machine['cpu']}: {speed}\n{versions}; one thread\n"


def duration(seconds: float) -> str:
    """With a unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}" if seconds < 1000 * size else f"{seconds:.0f} s"
    return f"{seconds * 1e6:.3f} us"


def microseconds(seconds: float) -> str:
    value = seconds * 1e6
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


def best(row: Row) -> dict[str, Row]:
    """The fastest variant of each column that was measured."""
    found: dict[str, Row] = {}
    for c in row["contenders"]:
        if "median" in c and c["median"] < found.get(c["column"], {"median": 1e30})["median"]:
            found[c["column"]] = c
    return found


def details(row: Row) -> Table:
    """All contenders of one workload; the best variant of each is marked."""
    table = Table(title=f"{row['key']}  {row['title']}", title_justify="left", title_style="bold")
    for name in ("contender", "variant"):
        table.add_column(name)
    for name in ("median us/step", "min", "clean rounds", "cores", "first call", "error"):
        table.add_column(name, justify="right")
    table.add_column("")
    winners = [id(c) for c in best(row).values()]
    for c in row["contenders"]:
        cells = [""] * 6
        if "median" in c:
            cells[:4] = [
                microseconds(c["median"]), microseconds(c["fastest"]),
                f"{c['clean']}/{c['rounds']}", f"{c['cores']:.2f}",
            ]  # fmt: skip
        if "error" in c:
            cells[4:] = [duration(c["first_call"]), f"{c['error']:.0e}"]
        mark = "best" if id(c) in winners else c["note"]
        table.add_row(c["column"], c["variant"], *cells, mark)
    if "died" in row:
        table.caption = row["died"]
    return table


def summaries(result: dict[str, Any]) -> Iterator[Table]:
    """The tables with the targets beside what was measured."""
    yield medians(result["rows"])
    yield against_targets(result["rows"])
    if any("first_call" in row for row in result["rows"]):
        yield first_calls(result["rows"])
    if any(row["key"] in PEAK_ROWS and "clearprop" in best(row) for row in result["rows"]):
        yield shares(result["rows"], result["peak"])
    if result["depths"]:
        yield depths(result["depths"])


def medians(rows: list[Row]) -> Table:
    columns = list(dict.fromkeys(c["column"] for row in rows for c in row["contenders"]))
    table = Table(title="median (min) us per step, best variant of each", title_justify="left")
    table.add_column("step", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for row in rows:
        fastest = best(row)
        cells = []
        for name in columns:
            c = fastest.get(name)
            notes = {c["note"] for c in row["contenders"] if c["column"] == name and c["note"]}
            installed = "not installed" if notes == {"not installed"} else "–"
            cells.append(
                f"{microseconds(c['median'])} ({microseconds(c['fastest'])})" if c else installed
            )
        table.add_row(row["key"], *cells)
    return table


def against_targets(rows: list[Row]) -> Table:
    title = "times of the others / clearprop compiled (>= target); scan: many steps per call"
    table = Table(title=title, title_justify="left")
    table.add_column("step", no_wrap=True)
    for name in RATIOS:
        table.add_column(name, justify="right")
    for row in rows:
        seconds = {name: c["median"] for name, c in best(row).items()}
        cells = [
            f"[{'green' if r.met else 'red'}]{r}[/]" for r in ratios(row["key"], seconds).values()
        ]
        table.add_row(f"{row['key']} {row['title']}", *cells)
    return table


def _within(seconds: float, limit: float) -> str:
    color, word = ("green", "met") if seconds < limit else ("red", "missed")
    return f"[{color}]{duration(seconds)} (< {duration(limit)} {word})[/]"


def first_calls(rows: list[Row]) -> Table:
    table = Table(title="clearprop's first call (trace and compile)", title_justify="left")
    table.add_column("step", no_wrap=True)
    table.add_column("empty cache", justify="right")
    table.add_column("from the cache on disk", justify="right")
    for row in rows:
        call = row.get("first_call", {})
        limit = COLD_MLP if row["key"] in MLP_ROWS else COLD_OTHERS
        cells = [call.get("note", ""), ""]
        if "cold" in call:
            cells = [_within(call["cold"], limit), _within(call["warm"], WARM)]
        table.add_row(f"{row['key']} {row['title']}", *cells)
    return table


def shares(rows: list[Row], peak: float) -> Table:
    title = f"share of the core's {peak / 1e9:.0f} GFLOP/s that the matrix products reach"
    table = Table(title=title, title_justify="left")
    columns = ["clearprop", "clearprop run", "torch eager", "torch.compile", "jax.jit", "jax scan"]
    table.add_column("step", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for row in rows:
        if row["key"] not in PEAK_ROWS:
            continue
        w, fastest = WORKLOADS[row["key"]], best(row)
        work = multiply_adds(w.batch, w.layers) / peak
        cells = []
        for name in columns:
            share = work / fastest[name]["median"] if name in fastest else None
            cell = "–" if share is None else f"{share:.0%}"
            if share is not None and name.startswith("clearprop"):
                color, word = ("green", "met") if share >= PEAK_SHARE else ("red", "missed")
                cell = f"[{color}]{cell} (>= {PEAK_SHARE:.0%} {word})[/]"
            cells.append(cell)
        table.add_row(f"{row['key']} {row['title']}", *cells)
    return table


def depths(found: dict[int, Row]) -> Table:
    title = "clearprop's first call for networks of layers of 64, batch 64, SGD"
    table = Table(title=title, title_justify="left")
    for name in ("layers", "empty cache", "ms per layer", "from the cache on disk"):
        table.add_column(name, justify="right")
    deepest = max(found)
    for layers, call in found.items():
        if "cold" not in call:
            table.add_row(str(layers), call["note"])
            continue
        cold = call["cold"]
        cell = _within(cold, DEEPEST) if layers == deepest else duration(cold)
        table.add_row(str(layers), cell, f"{cold / layers * 1e3:.2f}", duration(call["warm"]))
    return table
