"""Files of torch.save: read without running anything in them, and not believed where they are damaged."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

_DOS_FOLDER = 0x10


def load_saved(path: Path, archive: bool = False) -> Any:
    """The tensors and plain values in a .pt or .pth file, on the CPU.

    Args:
        archive: refuse what torch.save wrote before it made archives: such files have no checksums.
    Raises:
        FileNotFoundError: there is no such file.
        ValueError: damaged, compressed, or holding code; one line of why, which does not name the file.
    """
    try:
        if archive or zipfile.is_zipfile(path):
            require_whole(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged pickle may end in any of them
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(reason) from error


def require_whole(path: Path) -> None:
    """Compare the checksums of all that torch.save wrote: torch reads none, and would inflate a record of any size.

    Raises:
        ValueError: one differs, the file is compressed, or a record is marked as a folder, for which torch would give
            memory as it finds it. zipfile.BadZipFile: it is not what torch.save writes.
    """
    with zipfile.ZipFile(path) as archive:
        for record in archive.infolist():
            if record.compress_type != zipfile.ZIP_STORED:
                raise ValueError("it is compressed, which torch.save does not do")
            if record.external_attr & _DOS_FOLDER or record.is_dir():
                raise ValueError(f"{record.filename} is marked as a folder")
        damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"wrong checksum of {damaged}")
