"""`clearprop doctor`."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Annotated

import typer

from clearprop.doctor import checks as checks
from clearprop.doctor.session import Session, StopProgram
from clearprop.serialization import write_json

HELP = """Run a training program under observation, and say what is wrong with its gradients.

The program is an ordinary script; what follows its name are its own arguments, but for the options
below (after -- everything is the program's). Its first steps are
observed (--steps N, or --full for all of them), and its numbers are the same as without the
doctor. Each finding names the line, the module, the numbers that were measured, the derivative that
causes it, and what to change.

Exit status: 1 if there is an error among the findings, 0 if not, 2 if the program could not run.

Examples:

  clearprop doctor train.py

  clearprop doctor --full --json findings.json train.py --lr 0.1

A line that is as it should be gets a comment: x = x.detach()  # doctor: ok A2
"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(
    help=HELP,
    context_settings={"ignore_unknown_options": True},
)
def doctor(
    program: Annotated[Path, typer.Argument(help="The Python program to run.")],
    arguments: Annotated[
        list[str] | None, typer.Argument(help="The program's own arguments.")
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Optimizer steps after which the program stops.")
    ] = 400,
    seconds: Annotated[
        float, typer.Option("--seconds", min=1, help="Seconds after which the program stops.")
    ] = 40,
    full: Annotated[bool, typer.Option("--full", help="Let the program run to its end.")] = False,
    to_json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the findings as JSON, too.")
    ] = None,
) -> None:
    if not program.is_file():
        raise typer.BadParameter(f"there is no file {program}", param_hint="program")
    session = Session(
        max_steps=None if full else steps, max_seconds=None if full else seconds, thorough=True
    )
    failure = run(program, arguments or [], session)
    report = session.report()
    if to_json is not None:
        write_json(to_json, json.loads(json.dumps(report.as_dict(), default=str)), allow_nan=True)
    print(f"\n{report}", file=sys.stderr)
    if report.errors:
        raise typer.Exit(1)
    if failure is not None:
        print(f"clearprop doctor: the program ended with {failure}", file=sys.stderr)
        raise typer.Exit(2)


def run(program: Path, arguments: list[str], session: Session) -> str | None:
    """Run the program in this process; what it died of, if it did."""
    before = sys.argv, list(sys.path)
    sys.argv = [str(program), *arguments]
    sys.path[0] = str(program.resolve().parent)
    failure = None
    try:
        with session:
            runpy.run_path(str(program), run_name="__main__")
    except StopProgram:
        session.notes.append(
            f"stopped after {session.steps} steps; --full lets the program run to its end"
        )
    except KeyboardInterrupt:
        session.notes.append(f"interrupted after {session.steps} steps")
    except SystemExit as end:
        failure = None if end.code in (None, 0) else f"exit status {end.code}"
    except BaseException as error:  # the program's own
        failure = f"{type(error).__name__}: {error}"
        session.died(error, str(program))
    finally:
        sys.argv, sys.path[:] = before
    session.finish()
    if not session.backwards:
        session.notes.append("the program made no backward pass: nothing to examine")
    return failure
