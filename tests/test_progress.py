"""What a log shows of a job that takes a while."""

from __future__ import annotations

import pytest

from temporalkd.console import PLAIN_SECONDS, progress


def told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seconds: float) -> list[str]:
    """The lines of five steps that take so long each."""
    clock = [0.0]
    monkeypatch.setattr("temporalkd.console.time.monotonic", lambda: clock[0])
    with progress("job") as tick:
        for done in range(1, 6):
            clock[0] += seconds
            tick(done, 5)
    return capsys.readouterr().err.splitlines()


def test_a_long_job_ends_with_its_whole_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told(monkeypatch, capsys, 0.6 * PLAIN_SECONDS) == ["job: 2/5", "job: 4/5", "job: 5/5"]


def test_a_short_job_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(monkeypatch, capsys, 0.1 * PLAIN_SECONDS) == []
