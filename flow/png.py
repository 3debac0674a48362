"""PNG files, looked at before any decoder is: whole in all their chunks, and of a size that memory can hold."""

from __future__ import annotations

import zlib
from pathlib import Path

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 2**27
MAX_BYTES = 2**31
"""More than any picture of so many pixels takes."""


def refuse_large(path: Path) -> None:
    """Before the file is read as a whole.

    Raises:
        ValueError: larger than `MAX_BYTES`; names both.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path}: refused, larger than the limit of {MAX_BYTES} bytes")


def fault(content: bytes) -> str:
    """What is wrong with a PNG file, in a few words; empty where it is whole.

    Decoders do not ask: Pillow passes over the checksums of pixels, OpenCV over all, and some of its releases fill what
    a truncated file lacks with zeros and say nothing. What follows the end is nobody's, and ignored.

    Source:
        W3C, Portable Network Graphics, 3rd edition, 5.3: length, name, data and CRC-32 of name and data.
    """
    if not content.startswith(SIGNATURE):
        return "not a PNG file, or a truncated one"
    view, place, name = memoryview(content), len(SIGNATURE), b""
    while name != b"IEND":
        length, name = int.from_bytes(view[place : place + 4], "big"), bytes(view[place + 4 : place + 8])
        end = place + 12 + length
        if end > len(content):
            return f"a truncated PNG file: {len(content)} bytes, the chunk at byte {place} needs {end}"
        if zlib.crc32(view[place + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            return f"a damaged PNG file: wrong checksum of the chunk at byte {place}"
        place = end
    width, height = size(content)
    if width * height > MAX_PIXELS:
        return f"refused, {width}x{height} is more than the limit of {MAX_PIXELS} pixels"
    return ""


def size(content: bytes) -> tuple[int, int]:
    """(width, height) that the header of a PNG file claims."""
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")
