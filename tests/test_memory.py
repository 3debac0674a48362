"""Freed memory is kept: counted in pages that the system had to clear."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from temporalkd.memory import keep_freed_memory

GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told")
FAULTS = """
import resource, sys, torch
from temporalkd.memory import give_back_freed_memory, keep_freed_memory
if sys.argv[1] != "by itself":
    assert keep_freed_memory()
if sys.argv[1] == "given back":
    give_back_freed_memory()
def step():
    return torch.ones(2**24).add_(1)
for _ in range(3):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@GLIBC
def test_what_a_step_frees_the_next_one_has() -> None:
    """Of 64 MiB twenty times: glibc by itself gives back all that is above 32."""
    if faults("by itself") < 10_000:
        pytest.skip("this C library keeps freed memory by itself, or has larger pages")
    assert faults("kept") < faults("by itself") / 4
    assert faults("given back") > faults("by itself") / 2


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
