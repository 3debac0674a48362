"""A request to end is an interrupt: what a command has begun is taken back, and no child goes on without its parent."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

REQUESTS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Within it SIGTERM, and SIGHUP of a terminal that is closed, are a KeyboardInterrupt.

    Does nothing outside of the main thread, nor for a signal that is ignored, as `nohup` does.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in REQUESTS:
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
