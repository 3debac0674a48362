"""Where data and weights lie: an explicit path, or under one root named by TEMPORALKD_DATA."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "TEMPORALKD_DATA"


def root() -> Path | None:
    """The folder that holds data/ and weights/: TEMPORALKD_DATA, else ../shared beside the working folder."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser()
    beside = Path("../shared")
    return beside if (beside / "data").is_dir() or (beside / "weights").is_dir() else None


def find(path: str | Path, room: str) -> Path:
    """The path as given, or else below `room` ("data" or "weights") of the root.

    Raises:
        FileNotFoundError: neither exists; says where it was looked for.
    """
    given = Path(path).expanduser()
    base = root()
    places = [given] if given.is_absolute() or base is None else [given, base / room / given]
    for place in places:
        if place.exists():
            return place
    named = os.environ.get(VARIABLE)
    hint = f"{VARIABLE} is {named}" if named else f"set {VARIABLE} to the folder that holds data/ and weights/"
    raise FileNotFoundError(f"no {' and no '.join(map(str, places))} ({hint})")
