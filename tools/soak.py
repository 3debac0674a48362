"""What takes long to find out: `python tools/soak.py --fuzz 10000` reads damaged files until something gives way."""

from __future__ import annotations

import sys
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from soaks.fuzz import fuzz
from soaks.readers import READERS

from temporalkd.cli import main


def soak(
    fuzz_count: Annotated[int, typer.Option("--fuzz", min=1, help="Damaged files that each reader is given.")],
    reader: Annotated[list[str], typer.Option(help=f"These alone: {', '.join(READERS)}.")] = [],  # noqa: B006
    seed: int = 0,
) -> None:
    """Every reader refuses a damaged file in one line that names it, or gives a value that is valid."""
    if unknown := [name for name in reader if name not in READERS]:
        raise typer.BadParameter(f"{unknown[0]!r}, expected some of {', '.join(READERS)}")
    shown = Table(title=f"damaged files, seed {seed}", title_style="bold")
    for heading in ("reader", "read", "refused", "taken", "of them changed", "findings", "slowest"):
        shown.add_column(heading, justify="left" if heading == "reader" else "right")
    findings = []
    for name in reader or READERS:
        with TemporaryDirectory(prefix="temporalkd-fuzz-") as folder:
            told = fuzz(name, fuzz_count, seed, folder)
        findings += told.findings
        numbers = (told.read, told.refused, told.read - told.refused, told.changed, len(told.findings))
        shown.add_row(name, *map(str, numbers), f"{told.slowest:.2f} s")
        print(f"{name}: {told.read} read, {len(told.findings)} findings", file=sys.stderr)
    Console().print(shown)
    for finding in findings:
        print(finding)
    if findings:
        raise typer.Exit(1)


if __name__ == "__main__":
    main(lambda: typer.run(soak))
