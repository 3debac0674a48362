"""What the command line makes of words: checked before anything is computed, with the error of wrong usage."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import typer

from temporalkd.config.choices import Protocol
from temporalkd.plugins import ConfigError


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


def frame_range(text: str, count: int, name: str) -> range:
    """The frames START to END - 1 of START:END, either left out for the first or last of the `count` frames of `name`.

    Raises:
        ValueError: not of this form, empty, or beyond the frames; says how many there are.
    """
    match = re.fullmatch(r"(\d*):(\d*)", text, re.ASCII)
    expected = f"expected START:END within 0:{count}, {name} has {count} frames"
    if match is None:
        raise ValueError(f"range {text!r}: {expected}")
    first, last = int(match[1] or 0), int(match[2] or count)
    if first >= count or last > count:
        raise ValueError(f"range {text!r} goes beyond the end: {expected}")
    if first >= last:
        raise ValueError(f"range {text!r} holds no frame: {expected}")
    return range(first, last)


def folder_name(name: str) -> str:
    """A config's name, where it cannot lead out of the folder that it is to be in.

    Raises:
        ConfigError: it could.
    """
    if not name or name != Path(name).name or name.startswith(".") or "\0" in name:
        raise ConfigError(f"name: {name!r} is not a valid folder name: change it, or set the run folder with -o")
    return name
