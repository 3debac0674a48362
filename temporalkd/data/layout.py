"""Folders and lists of data sets: found, or refused with the layout that was expected."""

from __future__ import annotations

from pathlib import Path


def require_folder(folder: Path, root: Path, layout: str) -> Path:
    """The folder below `root`; where it is missing, an error that tells the data set's layout.

    Raises:
        FileNotFoundError: no such folder; names the root instead, where that is missing too.
    """
    if not folder.is_dir():
        missing = folder if root.is_dir() else root
        raise FileNotFoundError(f"{missing}: no such folder; {layout}; set root to the folder that holds it")
    return folder


def named_files(folder: Path, pattern: str, suffix: str, layout: str) -> dict[str, Path]:
    """Name without `suffix` -> file, of all files that match pattern + suffix below the folder, in order.

    Raises:
        FileNotFoundError: there is none.
    """
    found = {path.name.removesuffix(suffix): path for path in sorted(folder.glob(pattern + suffix))}
    if not found:
        raise FileNotFoundError(f"{folder}: empty, expected {pattern}{suffix} in it; {layout}")
    return found


def read_list(path: Path, layout: str) -> list[tuple[int, str]]:
    """The lines of a split list with their numbers, from 1; blank ones are left out.

    Raises:
        FileNotFoundError, ValueError: no such list, not text, or nothing in it; names it.
    """
    if not path.is_file():
        near = sorted(p.name for p in path.parent.glob("*.txt"))
        there = f", in its folder are {', '.join(near[:8])}" if near else ""
        raise FileNotFoundError(f"{path}: no such list{there}; {layout}")
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file, expected a name a line") from None
    entries = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not entries:
        raise ValueError(f"{path}: empty, expected a name a line")
    return entries
