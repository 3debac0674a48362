"""SIGINT and SIGTERM: where something would be lost they wait for the end of the step, elsewhere they act at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Within it either signal is a KeyboardInterrupt, which waits while it is held; a second SIGINT never waits.

    Does nothing outside of the main thread, nor for a signal that is ignored.

    Attributes:
        asked: whether one waits.
    """

    def __init__(self, says: bool = True):
        self.asked, self.says = False, says
        self._held, self._interrupted = False, False
        self._before: dict[signal.Signals, Any] = {}
        self._process = 0

    def __enter__(self) -> Interrupts:
        self._process = os.getpid()
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @contextmanager
    def held(self) -> Iterator[None]:
        """Within it signals wait: look at `asked` where all can be saved."""
        with self._holding(True):
            yield

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within it signals do not wait, as all is saved; one that has waited is heard now."""
        if self.asked:
            raise KeyboardInterrupt
        with self._holding(False):
            yield

    @contextmanager
    def _holding(self, held: bool) -> Iterator[None]:
        before, self._held = self._held, held
        try:
            yield
        finally:
            self._held = before

    def _take(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker that was forked from here: its parent ends it
            return
        again = number == signal.SIGINT and self._interrupted
        self._interrupted |= number == signal.SIGINT
        if not self._held or again:
            raise KeyboardInterrupt
        if self.says and not self.asked:
            # Not print: the signal may have come in the midst of one.
            with suppress(OSError):
                name = signal.Signals(number).name
                os.write(2, f"\n{name}: the step is ended and saved first; Ctrl-C leaves at once\n".encode())
        self.asked = True


def leave_to_parent(_: int) -> None:
    """For a worker, which a terminal's Ctrl-C reaches too, and `timeout`'s SIGTERM: its parent may want a last batch.

    The parent's own SIGTERM ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_until_parent_ends_it, daemon=True).start()


def _until_parent_ends_it() -> None:
    starter = multiprocessing.parent_process()  # the system's parent may be a server that forks
    parent = os.getppid() if starter is None else starter.pid
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
        pass
    os._exit(0)
