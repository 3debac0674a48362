"""The application: what stands before every command, and how a command ends."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Annotated, NoReturn

import typer

from temporalkd.console import fail, short_warnings
from temporalkd.experiments.signals import as_interrupts
from temporalkd.plugins import REFUSED, ConfigError, allow

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    help="Train small segmentation networks that are accurate and do not flicker on video.",
)
config_app = typer.Typer(no_args_is_help=True, help="Check and show configs without running them.")
app.add_typer(config_app, name="config")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    imports: Annotated[
        list[str],
        typer.Option("--import", metavar="MODULE:NAME", help="Allow this import (or: MODULE) where a run names it."),
    ] = [],
    no_import: Annotated[bool, typer.Option("--no-import", help="Refuse all imports that a config names.")] = False,
) -> None:
    """Options before the command."""
    allow(imports)
    if no_import:
        os.environ[REFUSED] = "1"


_INTERRUPTED = 130
"""What typer ends with, and no word, when a command is interrupted."""


def main(job: Callable[[], object] = app) -> NoReturn:
    """Entry point: 0 done, 1 failed with a one-line reason, 2 wrong usage."""
    debug = "--debug" in sys.argv
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot show must not cost the numbers
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with as_interrupts(), nullcontext() if debug else short_warnings():
            job()
    except ConfigError as error:
        fail(error, 2, debug)
    except KeyboardInterrupt:
        fail("interrupted", 1, debug)
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            fail("interrupted", 1, debug)
        raise
    except Exception as error:
        fail(error, 1, debug)
    sys.exit(0)


def main_of(command: str) -> NoReturn:
    """Entry point of the scripts in tools/: one command under a name of its own."""
    sys.argv.insert(1, command)
    main()
