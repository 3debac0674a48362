"""Where data and weights lie, under one root named by TEMPORALKD_DATA; JSON files, with errors that name them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

VARIABLE = "TEMPORALKD_DATA"
PRETRAINED = Path(__file__).parent / "pretrained"
"""NAME.safetensors and NAME.json of the networks that come with the package."""


def root() -> Path | None:
    """The folder that holds data/ and weights/: TEMPORALKD_DATA, else ../shared beside the working folder."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    beside = Path("../shared")
    return beside if (beside / "data").is_dir() or (beside / "weights").is_dir() else None


def pretrained(path: str | os.PathLike[str]) -> Path:
    """The weights of that name: of a network that comes with the package, or a file below the root's weights/.

    A path that exists, and one that is neither, comes back as it is.
    """
    given, base = Path(path), root()
    if given.exists() or given.is_absolute():
        return given
    places = [PRETRAINED / f"{path}.safetensors"] if given.name == str(path) else []
    places += [base / "weights" / given] if base is not None else []
    return next((place for place in places if place.is_file()), given)


def find(path: str | Path, room: str) -> Path:
    """The path as given, or else below `room` ("data" or "weights") of the root; weights also by `pretrained`'s names.

    Raises:
        FileNotFoundError: neither exists; says where it was looked for.
    """
    given = pretrained(Path(path).expanduser()) if room == "weights" else Path(path).expanduser()
    base = root()
    places = [given] if given.is_absolute() or base is None else [given, base / room / given]
    for place in places:
        if place.exists():
            return place
    named = os.environ.get(VARIABLE)
    hint = f"{VARIABLE} is {named}" if named else f"set {VARIABLE} to the folder that holds data/ and weights/"
    raise FileNotFoundError(f"no {' and no '.join(map(str, places))} ({hint})")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not text, not json, or json of something else; names the file, and the line where it is known.
    """
    return _object(_text(path), str(path))


def write_json(path: Path, values: dict[str, Any]) -> None:
    """A file that `read_json` gives back; it is there completely or not at all.

    Raises:
        OSError: it cannot be written; names it.
    """
    from flow.atomic import write_whole  # which brings torch

    write_whole(path, (json.dumps(values, indent=2) + "\n").encode())


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The objects in a file that has one a line.

    Raises:
        FileNotFoundError, ValueError: as `read_json`.
    """
    lines = _text(path).splitlines()
    return [_object(line, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file, expected json") from None


def _object(text: str, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: not json ({error})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{where}: expected a json object, found {type(found).__name__}")
    return found
