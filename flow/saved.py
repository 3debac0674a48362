"""Files of torch.save: read without running anything in them, and not believed where they are damaged."""

from __future__ import annotations

import codecs
import os
import pickletools
import re
import zipfile
from pathlib import Path
from pickle import UnpicklingError
from struct import Struct
from typing import IO, Any

import torch

_ARCHIVE = b"PK\x03\x04"
"""What torch knows an archive by, whatever stands at its end."""
_DOS_FOLDER = 0x10
_ENDS, _POINTS = b"PK\x05\x06", b"PK\x06\x07"
_END, _POINTER, _LARGE_END = Struct("<4s4H2LH"), Struct("<4sLQL"), Struct("<4sQ2H2L4Q")
_SATURATED = 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF
"""What stands in the last bytes of an archive where its numbers are too large for them."""
_OLD_PICKLES = 4
"""That a file of the older form begins with: a magic number, a version, the machine, and what was saved."""
_REFUSED = re.compile(r"\bGLOBAL ([\w.]+)")
"""The first name that is not among those which weights_only allows, in torch's words."""
_GROWS = re.compile(r"bytearray|_rebuild_device_tensor_from_\w+|\w*Tensor")
"""What weights_only allows, no state dict holds, and takes as much memory as a number in the file says."""


def load_saved(path: Path, archive: bool = False) -> Any:
    """The tensors and plain values in a .pt or .pth file, on the CPU.

    Args:
        archive: refuse what torch.save wrote before it made archives: such files have no checksums.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: damaged, compressed, larger in memory than on disk, or holding code; one line of why, which does
            not name the file.
    """
    try:
        with path.open("rb") as file:
            archived = file.read(len(_ARCHIVE)) == _ARCHIVE
            file.seek(0)
            for _ in range(0 if archive or archived else _OLD_PICKLES):
                _refuse_growth(file)
        if archive or archived:
            require_whole(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle may end in any of them
        raise ValueError(_why(error)) from error


def _why(error: Exception) -> str:
    """One line; torch's own of what weights_only refuses recommends to run it."""
    if isinstance(error, UnpicklingError) and (found := _REFUSED.search(str(error))):
        return f"it holds {found[1]}, more than tensors and plain values, and is not run: save its state dict alone"
    if isinstance(error, UnpicklingError):
        return "it is damaged, or holds more than tensors and plain values, and is not run"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def require_whole(path: Path) -> None:
    """Compare the checksums of all that torch.save wrote: torch reads none, and would inflate a record of any size.

    Raises:
        ValueError: one differs, the file is compressed, what is in it grows, its list of records can be read in two
            ways, or a record is marked as a folder, for which torch would give memory as it finds it.
        zipfile.BadZipFile: it is not what torch.save writes.
    """
    with zipfile.ZipFile(path) as archive:
        _require_one_reading(path, archive)
        for record in archive.infolist():
            if record.compress_type != zipfile.ZIP_STORED:
                raise ValueError("it is compressed, which torch.save does not do")
            if record.external_attr & _DOS_FOLDER or record.is_dir():
                raise ValueError(f"{record.filename} is marked as a folder")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"wrong checksum of {damaged}")
        for record in archive.infolist():
            if record.filename.lower().endswith(".pkl"):  # torch looks for it in any case
                with archive.open(record) as pickle:
                    _refuse_growth(pickle)


def _require_one_reading(path: Path, archive: zipfile.ZipFile) -> None:
    """That torch, which has a reader of its own, finds the records that were checked here.

    The list of records is told twice, in the last bytes and in those before, of archives beyond 4 GiB; and names are
    looked up without regard to case.
    """
    records = archive.infolist()
    with path.open("rb") as file:
        begin = file.seek(-_END.size, os.SEEK_END)
        mark, *_, on_disk, count, size, start, comment = _END.unpack(file.read())
        told = on_disk, count, size, start
        file.seek(begin - _POINTER.size)
        pointer = _POINTER.unpack(file.read(_POINTER.size))
        if pointer[0] == _POINTS:
            begin = file.seek(begin - _POINTER.size - _LARGE_END.size)
            large = _LARGE_END.unpack(file.read(_LARGE_END.size))[-4:]
            if pointer[2] != begin or any(a not in (b, full) for a, b, full in zip(told, large, _SATURATED)):
                raise ValueError("its list of records is damaged")
            told = large
    if mark != _ENDS or comment or told != (len(records), len(records), told[2], begin - told[2]):
        raise ValueError("its list of records is damaged")
    if len({record.filename.lower() for record in records}) != len(records):
        raise ValueError("it has two records of one name")


def _refuse_growth(pickle: IO[bytes]) -> None:
    """Read a pickle without doing what it says, up to its end.

    Raises:
        ValueError: it asks for memory by number, or for bytes encoded otherwise than pickles have them.
    """
    encodes, words = False, set()
    for operation, argument, _ in pickletools.genops(pickle):
        if operation.name == "GLOBAL":
            name = str(argument).rpartition(" ")[2]
            if _GROWS.fullmatch(name):
                raise ValueError(f"it holds {name}, which may take any amount of memory")
            encodes = encodes or name == "encode"
        elif isinstance(argument, str):
            words.add(argument)
    if encodes and (growing := sorted(filter(_is_no_text_encoding, words))):
        raise ValueError(f"it holds bytes encoded as {growing[0]!r}: they may take any amount of memory")


def _is_no_text_encoding(word: str) -> bool:
    try:
        return not codecs.lookup(word)._is_text_encoding
    except (LookupError, ValueError):
        return False
