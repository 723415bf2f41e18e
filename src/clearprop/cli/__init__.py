"""The command `clearprop`: a group whose commands are imported when they are run.

`clearprop --help` and `clearprop --version` so take no longer than `import clearprop`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from clearprop._version import __version__
from clearprop.errors import ClearpropError
from clearprop.flags import flags

# Name: (module with `app`, one line of help).
COMMANDS = {
    "train": ("clearprop.cli.train", "Train a network on a data set or a table."),
    "predict": ("clearprop.cli.predict", "Predict the rows of a table with a trained network."),
    "doctor": ("clearprop.cli.doctor", "Find out what is wrong with the gradients of a program."),
    "graph": ("clearprop.cli.graph", "Draw the graph of a network or a tensor as SVG."),
    "env": ("clearprop.cli.env", "Show versions and every switch with its value."),
}
HELP = """Train neural networks, and see how they learn.

Examples:

  clearprop train digits

  clearprop train houses.csv --target price

  clearprop predict runs/houses-2026-01-31-1 new.csv

  clearprop doctor train.py
"""
WRONG = 2  # exit code for everything that the user can put right


class LazyCommand(TyperCommand):
    """Stands for a command in the list of commands, and becomes it when it is run."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any
    ) -> Any:
        command: Any = typer.main.get_command(importlib.import_module(COMMANDS[self.name][0]).app)  # type: ignore[index]
        command.name = self.name
        return command.make_context(info_name, args, parent=parent, **extra)


class LazyGroup(TyperGroup):
    """The commands of `COMMANDS`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        return LazyCommand(name=cmd_name, help=COMMANDS[cmd_name][1])


app = typer.Typer(
    cls=LazyGroup,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"clearprop {__version__}")
        raise typer.Exit()


@app.callback()
def group(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FLAG=VALUE", help="Set a switch; `clearprop env` lists them."
        ),
    ] = None,
) -> None:
    set_flags(setting)


def set_flags(settings: Sequence[str] | None) -> None:
    """Set `name=value` flags; a usage error for anything else."""
    for text in settings or ():
        name, sign, value = text.partition("=")
        if not sign:
            raise typer.BadParameter(f"{text!r} is not FLAG=VALUE", param_hint="--set")
        try:
            flags.set(name, value, source="--set")
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--set") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what the user can put right ends in one message and exit code 2."""
    try:
        app(args=None if arguments is None else list(arguments), prog_name="clearprop")
    except ClearpropError as error:
        fail(str(error))
    except OSError as error:
        # A full disk, a folder without permission: what was written before stays.
        fail(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))


def fail(message: str) -> None:
    """One line on stderr, and out."""
    text = " ".join(message.split("\n"))
    print(text if text.startswith("clearprop") else f"clearprop: {text}", file=sys.stderr)
    sys.exit(WRONG)
