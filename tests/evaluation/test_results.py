"""Results as json and csv."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pytest
import torch

from temporalkd.evaluation import SHARES, Predictor, Row, as_csv, as_json, evaluate
from temporalkd.evaluation.results import WITH_INTERVAL, percent, percents

from .panning import RIGHT, Panning, Unsure, frozen


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """With and without intervals; with classes that are nowhere, hence with numbers that are none."""
    torch.manual_seed(0)
    systems: dict[str, Predictor] = {"frozen, still": frozen, 'un"sure': Unsure(3)}
    long = evaluate([Panning(52, range(52))], systems, 4, RIGHT, ["visible", "etc2020"])
    return long + evaluate([Panning(3)], {"frozen, still": frozen}, 4, RIGHT)


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_json_holds_every_number_and_only_plain_ones(rows: list[Row]) -> None:
    results = strict(as_json(rows))["results"]
    assert len(results) == len(rows)
    for got, row in zip(results, rows):
        assert got == row.as_dict()
        assert list(got)[:6] == ["system", "protocol", "flow", "fingerprint", "size", "frames"]
        assert {key: got[key] for key in SHARES} == {key: row[key] for key in SHARES}
        assert got["per_class"] == row.per_class and got["intervals"] == row.intervals
        assert "series" not in got and "shares" not in got
    assert results[0]["per_class"]["iou"][2:] == [None, None] and results[0]["intervals"]["consistency"] is not None
    assert results[-1]["miou"] is None and set(results[-1]["intervals"].values()) == {None}


def test_a_number_that_is_none_is_refused_not_written() -> None:
    row = Row("a", "visible", "dis", "", "4x4", 2, {"miou": math.nan})
    with pytest.raises(ValueError, match="JSON"):
        as_json([row])


def test_csv_reads_back_as_the_same_numbers(rows: list[Row]) -> None:
    lines = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert len(lines) == len(rows)

    def number(text: str) -> float | None:
        return float(text) if text else None

    for line, row in zip(lines, rows):
        assert None not in line and None not in line.values(), "as many cells as headings"
        assert (line["system"], line["protocol"], line["flow"]) == (row.system, row.protocol, row.flow)
        assert (line["fingerprint"], line["size"], int(line["frames"])) == (row.fingerprint, row.size, row.frames)
        assert {key: number(line[key]) for key in SHARES} == {key: row[key] for key in SHARES}
        for key in WITH_INTERVAL:
            bounds = [number(line[f"{key}_{end}"]) for end in ("low", "high")]
            expected: list[float | None] = [*(row.intervals[key] or (None, None))]
            assert bounds == expected
        for key in ("iou", "consistency"):
            values = [number(line[f"{key}_{c}"]) for c in range(4)]
            assert values == (row.per_class[key] or [None] * 4)
    assert lines[0]["consistency_0"] and not lines[0]["consistency_3"]


def test_intervals_enclose_their_value(rows: list[Row]) -> None:
    there = 0
    for row in rows:
        for key, bounds in row.intervals.items():
            if bounds is not None and row[key] is not None:
                there += 1
                assert bounds[0] - 1e-3 <= row[key] <= bounds[1] + 1e-3, key  # type: ignore[operator]
    assert there > 20


def test_shares_become_percent() -> None:
    assert percent(torch.tensor(0.12345678)) == 12.3457
    assert percent(torch.tensor(math.nan)) is None
    assert percents(torch.tensor([0.5, math.nan, 1])) == [50, None, 100]
