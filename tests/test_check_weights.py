"""The default weights are chosen by gradient: two methods here, all by `make check-weights`."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

import check_weights


@pytest.mark.parametrize("method", ["i2ckd", "fckd"])
def test_no_term_pulls_the_encoder_more_than_twice_as_hard_as_cross_entropy(method: str) -> None:
    pulls = check_weights.pulls(method, batch=2)
    assert len(pulls) >= 1 and all(0 < pull <= check_weights.LIMIT for pull in pulls.values()), pulls
