"""`doctor`: what this machine has."""

from __future__ import annotations

import typer

from temporalkd.cli.app import app


@app.command()
def doctor() -> None:
    """Versions, devices, codecs, and which weights and data are found."""
    from temporalkd.cli.work.doctor import doctor as examine

    if not examine():
        raise typer.Exit(1)
