"""What the command line makes of words: checked before anything is computed, with the error of wrong usage."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import typer

from temporalkd.config.errors import ConfigError, Protocol


def one_of(known: Any) -> Callable[[Any], Any]:
    """Callback of an option whose values are those of a Literal."""

    def check(value: Any) -> Any:
        for word in [value] if isinstance(value, str) else value or ():
            if word not in get_args(known):
                raise typer.BadParameter(f"{word!r}, expected one of {', '.join(get_args(known))}")
        return value

    return check


def protocols(names: list[str]) -> list[str]:
    """Each once, `all` spelt out."""
    known = get_args(Protocol)
    chosen = [p for name in names for p in (known if name == "all" else [name])]
    one_of(Protocol)(chosen)
    return list(dict.fromkeys(chosen))


def disturbances(words: list[str]) -> list[str]:
    """Each once, of words that may hold several between commas."""
    kinds = [kind.strip() for word in words for kind in word.split(",")]
    if kinds:
        from temporalkd.data.disturbance import DisturbanceKind

        one_of(DisturbanceKind)(kinds)
    return list(dict.fromkeys(kinds))


def image_size(text: str) -> tuple[int, int]:
    """(H, W) of HEIGHTxWIDTH."""
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if match is None or "0" in (match[1], match[2]):
        raise typer.BadParameter(f"--size {text!r}: expected HEIGHTxWIDTH, 360x480 say")
    return int(match[1]), int(match[2])


def old_new(text: str, option: str) -> tuple[int, int]:
    """The two class values of OLD:NEW."""
    old, _, new = text.partition(":")
    if not (re.fullmatch(r"\d{1,9}", old, re.ASCII) and re.fullmatch(r"\d{1,9}", new, re.ASCII)):
        raise typer.BadParameter(f"{option} {text!r}: expected two class values, OLD:NEW")
    return int(old), int(new)


def folder_name(name: str) -> str:
    """A config's name, where it cannot lead out of the folder that it is to be in.

    Raises:
        ConfigError: it could.
    """
    if not name or name != Path(name).name or name.startswith(".") or "\0" in name:
        raise ConfigError(f"name: {name!r} is not a valid folder name: change it, or set the run folder with -o")
    return name
