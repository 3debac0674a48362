"""Whether two runs saw the same footage: a hash of what it is made of, without reading it all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from temporalkd.data.source import Source

END = 4096
"""Bytes of a file's beginning and end: a PNG's sizes and the checksum of its pixels, a video's index."""


def fingerprint(sources: Iterable[Source]) -> str:
    """16 hexadecimal digits of names, lengths, which frames have labels, and the files' sizes and both their ends.

    Where the files lie does not matter. Versions of a file that differ in the middle alone are not told apart.

    Raises:
        OSError: a file cannot be read.
    """
    found = hashlib.sha256()
    for source in sources:
        found.update(f"{source.name} {len(source)} {source.labelled} {source.withheld}\n".encode())
        files = [path for index in range(len(source)) for path in source.files(index)]
        for path in dict.fromkeys(files):
            found.update(f"{path.name} {path.stat().st_size}\n".encode())
            found.update(_ends(path))
    return found.hexdigest()[:16]


def _ends(path: Path) -> bytes:
    with path.open("rb") as file:
        first = file.read(END)
        file.seek(max(file.seek(0, os.SEEK_END) - END, 0))
        return first + file.read()
