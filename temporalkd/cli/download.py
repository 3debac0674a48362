"""`download`: fetch a network that a config or another command names."""

from __future__ import annotations

from typing import Annotated

import typer

from temporalkd.cli.app import app
from temporalkd.console import say


@app.command()
def download(
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME...", help="hf:OWNER/NAME, smp:OWNER/NAME, torchvision:NAME or timm:NAME."),
    ],
) -> None:
    """Fetch networks of the Hugging Face Hub, torchvision or timm into their local caches."""
    from temporalkd.models import open_source

    for name in names:
        network, _ = open_source(name, download=True)
        say(f"{name}: {sum(p.numel() for p in network.parameters()) / 1e6:.1f} M parameters, {network.classes} classes")
