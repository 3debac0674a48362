"""How long a video file says that it is: one whose end is missing, as a broken download's, is told from a whole one.

MP4 and MXF announce their frames, which are counted. AVI announces some that are left out, fragmented MP4 none: these,
Matroska and ASF tell by what is read here. GIF has a mark at its end. MPEG streams, Ogg, FLV and raw files do not say.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

_HEAD = 1 << 16
_SEGMENT = b"\x18\x53\x80\x67"
_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_BROADCAST = 1
_TRAILER = b";"
_SLACK = 9
"""Bytes: some writers of AVI count the chunk's own head in, or a byte of padding that they do not write."""
_LARGE = (1).to_bytes(4, "big")


def require_end(path: Path, kind: str) -> None:
    """Refuse a file that says it is longer.

    Args:
        kind: FFmpeg's name of its format.

    Raises:
        ValueError: its end is missing; names the file.
    """
    with path.open("rb") as file:
        said = _SAID[kind](file) if kind in _SAID else None
        present = file.seek(0, os.SEEK_END)
        file.seek(max(0, present - _HEAD))
        ended = kind != "gif" or file.read().rstrip(b"\0\r\n ").endswith(_TRAILER)
    if said is not None and present < said:
        raise ValueError(f"{path}: truncated, {present} of {said} bytes are there")
    if not ended:
        raise ValueError(f"{path}: truncated, the mark of its end is missing")


def _read(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)


def _of_avi(file: BinaryIO) -> int | None:
    """OpenDML 1.02: RIFF chunks one after another, whose sizes are filled in when a recording ends."""
    end, present = 0, file.seek(0, os.SEEK_END)
    while end < present and (chunk := _read(file, end, 8))[:4] == b"RIFF":
        size = int.from_bytes(chunk[4:], "little")
        if size in (0, 0xFFFFFFFF):
            return None
        end += 8 + size + size % 2
    return end - _SLACK


def _of_mp4(file: BinaryIO) -> int | None:
    """ISO/IEC 14496-12: boxes one after another, of a size of 32 or 64 bits, or up to the end."""
    end, present = 0, file.seek(0, os.SEEK_END)
    while end < present and len(box := _read(file, end, 16)) >= 8 and box[4:8].isalnum():
        size = int.from_bytes(box[8:] if box[:4] == _LARGE else box[:4], "big")
        if size < 8:
            return None
        end += size
    return end


def _of_matroska(file: BinaryIO) -> int | None:
    """RFC 9559: an EBML header, then one segment, whose size is not known to those who write as they record."""
    head = file.read(_HEAD)
    size, at = _number(head, 4)
    if size is None or head[at + size : at + size + 4] != _SEGMENT:
        return None
    size, at = _number(head, at + size + 4)
    return None if size is None else at + size


def _number(head: bytes, at: int) -> tuple[int | None, int]:
    """RFC 8794: a size of variable width, None where it is unknown, and where it ends."""
    first = head[at] if at < len(head) else 0
    width = 9 - first.bit_length()
    value = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    return (None if first == 0 or value == (1 << 7 * width) - 1 else value), at + width


def _of_asf(file: BinaryIO) -> int | None:
    """ASF Specification 3.2: the file's size, which does not hold while it is broadcast."""
    head = file.read(_HEAD)
    at = head.find(_FILE_PROPERTIES)
    properties = head[at + 24 : at + 104]
    if at < 0 or len(properties) < 68 or int.from_bytes(properties[64:68], "little") & _BROADCAST:
        return None
    return int.from_bytes(properties[16:24], "little")


_SAID = {
    "asf": _of_asf,
    "avi": _of_avi,
    "matroska,webm": _of_matroska,
    "mov,mp4,m4a,3gp,3g2,mj2": _of_mp4,
}
