"""Settings and sizes for tests on inputs that hypothesis makes; without it these tests are skipped."""

from __future__ import annotations

import pytest

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is in the extra 'dev'")
given, st = hypothesis.given, hypothesis.strategies
few = hypothesis.settings(
    max_examples=25, deadline=None, derandomize=True, database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)  # fmt: skip
sizes = st.tuples(st.integers(1, 9), st.integers(1, 9))
