"""What runs and data sets say of themselves in json, read so that a damaged file is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not text, not json, or json of something else; names the file, and the line where it is known.
    """
    return _object(_text(path), str(path))


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
