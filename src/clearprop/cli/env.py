"""`clearprop env`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from clearprop._version import __version__
from clearprop.flags import flags

HELP = """Show versions and every switch with its value, where that comes from, and what it does.

A switch is set in the environment (CLEARPROP_STRICT=1), on the command line (clearprop --set
strict=1 ...) or in code (with clearprop.flags(strict=1): ...).
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=HELP)
def env(
    plain: Annotated[
        bool, typer.Option("--plain", help="Tabs between columns, for other programs.")
    ] = False,
) -> None:
    rows = [tuple(map(str, row)) for row in flags.rows()]
    if plain:
        for name, value in versions():
            print(name, value, sep="\t")
        for row in rows:
            print(*row, sep="\t")
        return
    console = Console()
    packages = Table(box=None, padding=(0, 3, 0, 0), show_header=False)
    for name, value in versions():
        packages.add_row(name, value)
    console.print(packages)
    table = Table(box=None, padding=(1, 3, 0, 0))
    for head in ("switch", "value", "from", "what it does"):
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def versions() -> list[tuple[str, str]]:
    """clearprop, Python, the machine, and every package that clearprop needs."""
    found = [("clearprop", __version__), ("python", platform.python_version())]
    found.append(("platform", platform.platform()))
    for requirement in requires("clearprop") or ():
        words, _, marker = requirement.partition(";")
        name = words.strip().split(">")[0].split("<")[0].split("=")[0].strip()
        if "extra" not in marker:
            found.append((name, installed(name)))
    return found


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
