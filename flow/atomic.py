"""Files that are there completely or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, content: bytes | memoryview, accept: Callable[[Path], None] | None = None) -> None:
    """Write a file so that it is there completely or not at all, whatever happens in between.

    accept: looks at the written file before it takes its place; what it raises leaves the old one there.

    Raises:
        OSError: it cannot be written; names it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if accept is not None:
            accept(part)
        part.replace(path)
    except BaseException as error:
        with suppress(OSError):  # there is nothing to remove where even the folder is not there
            part.unlink()
        if isinstance(error, OSError) and error.strerror and error.filename in (None, str(part)):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
