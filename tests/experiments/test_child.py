"""A training in a process of its own: how far it is, and why it failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from temporalkd.experiments import child


def test_a_log_that_is_being_written_tells_the_last_whole_step(tmp_path: Path) -> None:
    assert child.steps_taken(tmp_path) == 0
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 12, "loss": 1.0}\n{"step": 1')
    assert child.steps_taken(tmp_path) == 12


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (0, "error: none\n", None),
        (1, "a line\nerror: the disk is full\n\n", "the disk is full"),
        (2, "", "ended by exit code 2"),
        (-9, "a line\n", "ended by signal 9 (Killed, out of memory?)"),
        (-15, "a line\n", "ended by signal 15 (Terminated)"),
    ],
)
def test_the_reason_of_a_failure(tmp_path: Path, code: int, said: str, reason: str | None) -> None:
    (tmp_path / "x.log").write_text(said)
    assert child.failure(code, tmp_path / "x.log") == reason
