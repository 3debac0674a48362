"""Damaged files, given to a reader in a process of its own, so that a crash or a hang is a finding and no end."""

from __future__ import annotations

import multiprocessing
import time
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from soaks.mutations import damaged
from soaks.reader import Reader
from soaks.readers import READERS

SECONDS = 10.0
"""That reading one file may take, a busy machine included."""
MEMORY = 16 * 2**30
"""Bytes of address space that a reader may take, most of which torch reserves and never uses."""


@dataclass
class Outcome:
    """Of one damaged file: refused, read as what it was, read as something else, or what must not be."""

    number: int
    refused: bool = False
    changed: bool = False
    finding: str = ""


@dataclass
class Told:
    """All outcomes of a reader, counted; findings are lines."""

    read: int = 0
    refused: int = 0
    changed: int = 0
    slowest: float = 0.0
    findings: list[str] = field(default_factory=list)

    def add(self, outcome: Outcome, seconds: float = 0.0) -> None:
        """Count it."""
        self.read, self.refused = self.read + 1, self.refused + outcome.refused
        self.changed, self.slowest = self.changed + outcome.changed, max(self.slowest, seconds)
        if outcome.finding:
            self.findings.append(outcome.finding)


def fuzz(name: str, count: int, seed: int, folder: str) -> Told:
    """Give `count` damaged files to a reader; a process that dies or hangs is replaced by one that goes on after it."""
    told = Told()
    spawn = multiprocessing.get_context("spawn")
    while told.read < count:
        receiver, sender = spawn.Pipe(duplex=False)
        process = spawn.Process(target=_work, args=(name, told.read, count, seed, folder, sender), daemon=True)
        process.start()
        sender.close()
        try:
            if not receiver.poll(60 + SECONDS):
                raise RuntimeError(f"{name}: its process does not start")
            receiver.recv()
            while told.read < count:
                started = time.monotonic()
                if not receiver.poll(SECONDS):
                    told.add(Outcome(told.read, finding=f"{name} {told.read}: hangs for {SECONDS:g} seconds"))
                    break
                told.add(receiver.recv(), time.monotonic() - started)
        except EOFError:
            process.join()
            told.add(Outcome(told.read, finding=f"{name} {told.read}: ends its process, exit code {process.exitcode}"))
        finally:
            process.kill()
            process.join()
    return told


def _work(name: str, start: int, count: int, seed: int, folder: str, sender: Connection) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    except ImportError:  # Windows
        pass
    outcomes = outcomes_of(READERS[name], Path(folder), seed, range(start, count))
    sender.send(None)
    for outcome in outcomes:
        sender.send(outcome)


def outcomes_of(reader: Reader, folder: Path, seed: int, numbers: range) -> Iterator[Outcome]:
    """What the reader makes of its whole file, damaged as each number says."""
    path = reader.make(folder)
    content = path.read_bytes()
    whole = reader.read(path)
    for number in numbers:
        path.unlink()  # what was read of the last file may be mapped to memory
        path.write_bytes(damaged(content, seed, zlib.crc32(reader.name.encode()), number))
        yield outcome_of(reader, path, number, whole)


def outcome_of(reader: Reader, path: Path, number: int, whole: object) -> Outcome:
    """What the reader makes of one file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = reader.read(path)
    except (ValueError, OSError) as error:
        said, wrong = str(error), ""
        if "\n" in said or path.name not in said:
            wrong = f"{reader.name} {number}: not one line that names the file: {said!r}"
        return Outcome(number, refused=True, finding=wrong)
    except Exception as error:  # whatever it is, nobody foresaw it
        return Outcome(number, finding=f"{reader.name} {number}: {type(error).__name__}: {error}")
    changed = not reader.same(value, whole)
    if changed and reader.checked:
        return Outcome(number, changed=True, finding=f"{reader.name} {number}: damage that its checksums tell is read")
    wrong = "" if reader.is_valid(value) else f"{reader.name} {number}: reads as an invalid value"
    return Outcome(number, changed=changed, finding=wrong)
