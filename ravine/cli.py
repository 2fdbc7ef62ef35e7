"""The command line. Exit 0: agreement; 1: a claim violated or a control not refuted; 2: bad input; 3: something
inconclusive; 130: interrupted."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from problems.errors import InputError

# Importing a command registers it.
from ravine.commands import (  # noqa: F401
    bench,
    bench_scaling,
    catalogue,
    check,
    derive,
    doctor,
    figures,
    net,
    net_bench,
    net_probe,
    net_verify,
    new,
    plan,
    report,
    run,
    schedules,
    search,
    sweep,
    verify,
    worst_case,
)
from ravine.commands.common import AGREE, BAD_INPUT, INTERRUPTED, app

from .guard import IntruderError, check_packages
from .version import __version__

USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
"""Typer carries its own copy of click; this is that copy's UsageError."""


def main() -> None:
    """Entry point of the `ravine` command."""
    code = run_command(sys.argv[1:])
    if code == INTERRUPTED:
        print("ravine: interrupted", file=sys.stderr)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        # One of several processes under torchrun: threads of its communication now and then abort an interpreter that
        # is being taken down. Everything is written; nothing is left to take down.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run_command(arguments: list[str]) -> int:
    """Run one command line and return its exit code; every foreseeable fault is one sentence on stderr."""
    try:
        check_packages()
        outcome = app(arguments, standalone_mode=False, prog_name="ravine")
    except (InputError, IntruderError) as error:
        return _complain(str(error))
    except USAGE_ERROR as error:
        return _complain(str(error).replace("\n", " ").rstrip(".") + "; ravine --help lists what is allowed")
    except typer.Exit as error:
        return error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return AGREE
    except MemoryError as error:
        return _complain(f"not enough memory: {error}")
    except Exception as error:
        from .plugin import blame

        if (fault := blame(error)) is None:
            raise
        return _complain(str(fault))
    return outcome if isinstance(outcome, int) else AGREE


def _complain(sentence: str) -> int:
    print(f"ravine: {sentence}", file=sys.stderr)
    return BAD_INPUT


def _version(wanted: bool) -> None:
    if wanted:
        print(f"ravine {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
