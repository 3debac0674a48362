"""Words for people."""

from __future__ import annotations

import pytest

from temporalkd.console import duration


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.0, "0 s"), (7.4, "7 s"), (59.4, "59 s"), (59.6, "1.0 min"), (90.0, "1.5 min")]
)
def test_times_below_a_minute_are_in_seconds(seconds: float, said: str) -> None:
    assert duration(seconds) == said
