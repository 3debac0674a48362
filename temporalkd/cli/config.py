"""`config check` and `config show`: configs without running them."""

from __future__ import annotations

from temporalkd.cli.app import config_app
from temporalkd.cli.options import (
    ConfigFile,
    Overrides,
)


@config_app.command("check")
def config_check(config: ConfigFile, overrides: Overrides = []) -> None:
    """Check a config against the schema; imports no torch."""
    from temporalkd.config import load

    loaded = load(config, overrides)
    print(f"{config}: ok, {loaded.method.name} for {loaded.training.steps} steps")


@config_app.command("show")
def config_show(config: ConfigFile, overrides: Overrides = []) -> None:
    """Print a config with `extends` resolved and every default written out."""
    from temporalkd.config import dump, load

    print(dump(load(config, overrides)), end="")
