"""Every training in a process of its own, so that a crash costs nothing else, and none twice."""

from __future__ import annotations

import codecs
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from flow.files import write_whole
from temporalkd.config import dump
from temporalkd.experiments import run_directory
from temporalkd.experiments.comparison import pace
from temporalkd.experiments.comparison.plan import Entry
from temporalkd.experiments.lock import run_lock
from temporalkd.experiments.signals import as_interrupts

PATIENCE, GRACE = 3.0, 30.0
"""Seconds after which a process that was interrupted is told so, and then has to end its step and save."""

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

Train = Callable[[Path, Path, bool], str | None]
"""(config file, run folder, whether to resume) -> None, or why it failed, in a line."""
Run = tuple[str, int]
"""The name of a system, and a seed."""


def train_all(
    systems: Sequence[Entry], seeds: Sequence[int], out: Path, train: Train, say: Callable[[str], None]
) -> dict[Run, str]:
    """Train what is not trained yet, seed by seed, so that whole comparisons are there early.

    Returns:
        The trainings that failed, and why.
    """
    waiting = [(e, seed) for seed in seeds for e in systems if not run_directory.is_finished(e.folder(out, seed))]
    failed: dict[Run, str] = {}
    for number, (entry, seed) in enumerate(waiting, 1):
        folder = entry.folder(out, seed)
        say(f"training {number} of {len(waiting)}: {entry.name}, seed {seed}")
        file = folder.with_suffix(".yaml")
        write_whole(file, dump(entry.at(seed)).encode())
        resume = (folder / "config.yaml").is_file() and run_directory.has_checkpoint(folder)
        reason = None if resume else _cleared(folder)
        if reason is None:
            pace.record(entry, folder)
            reason = train(file, folder, resume)
        if reason is None and not run_directory.is_finished(folder):
            reason = "it ended without a student"
        if reason is not None:
            failed[entry.name, seed] = reason
            say(f"{entry.name}, seed {seed}, failed: {reason}")
    return failed


def _cleared(folder: Path) -> str | None:
    """Take back what a training left that has saved nothing; why that cannot be, if another one is at it."""
    try:
        with run_lock(folder):
            run_directory.clear(folder)
    except FileExistsError as error:
        return str(error)
    return None


def in_process_of_its_own(file: Path, folder: Path, resume: bool) -> str | None:
    """`temporalkd train` on the file; what it says goes to stderr.

    PYTHONSAFEPATH: -m would look for every module in the working folder first, and run a yaml.py that lies there.
    """
    command = [sys.executable, "-m", "temporalkd.cli", "train", str(file), "-o", str(folder), "--no-score"]
    reader, writer = _channel()
    with as_interrupts():
        command += ["--resume"] if resume else []
        process = subprocess.Popen(command, stderr=writer, env={**os.environ, "PYTHONSAFEPATH": "1"})
        os.close(writer)
        last = _Relay(reader)
        try:
            code = process.wait()
        except KeyboardInterrupt:
            _stop(process)
            raise
        finally:
            last.join(GRACE)
    if code == 0:
        return None
    return last.line.removeprefix("error: ") if code > 0 and last.line else f"ended by {_signal(code)}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End it: it ends its step and saves. The terminal has told it too, and it is told again only where it goes on."""
    ends = ((lambda: None, PATIENCE), (process.terminate, GRACE), (process.kill, GRACE))
    for end, seconds in ends:
        with suppress(subprocess.TimeoutExpired):
            end()
            process.wait(seconds)
            return


def _signal(code: int) -> str:
    if code > 0:
        return f"exit code {code}"
    hint = ", out of memory?" if -code == 9 else ""
    return f"signal {-code} ({signal.strsignal(-code) or 'unknown'}{hint})"


def _channel() -> tuple[int, int]:
    """Where the child writes; a terminal where we have one, so that it shows its progress bar."""
    if not sys.stderr.isatty():
        return os.pipe()
    import fcntl
    import pty
    import termios
    import tty

    reader, writer = pty.openpty()
    tty.setraw(writer)
    with suppress(OSError):
        fcntl.ioctl(writer, termios.TIOCSWINSZ, fcntl.ioctl(2, termios.TIOCGWINSZ, b"\0" * 8))
    return reader, writer


class _Relay(threading.Thread):
    """Passes on to stderr what a child writes, and keeps its last line."""

    def __init__(self, reader: int):
        super().__init__(daemon=True)
        self.reader, self.line, self._rest = reader, "", ""
        self.start()

    def run(self) -> None:
        decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        with suppress(OSError):  # the end of a pseudo-terminal is an error
            while content := os.read(self.reader, 4096):
                text = decode(content)
                sys.stderr.write(text)
                sys.stderr.flush()
                *lines, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
                self.line = next((line.strip() for line in reversed(lines) if line.strip()), self.line)
        self.line = _ESCAPES.sub("", self._rest.strip() or self.line)
        os.close(self.reader)
