"""Results on the screen, at common widths."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from temporalkd.evaluation import Row
from temporalkd.evaluation.tables import table

SYSTEMS = ("teacher", "baseline", "kd", "etc", "etc EMA 0.8", "ceiling", "floor", "constant")
PROTOCOLS = ("visible", "unmasked", "etc2020", "vspw2021", "varghese2020", "kdssp2025")


def row(system: str, number: float, protocol: str = "visible", flow: str = "dis", **shares: float | None) -> Row:
    known: dict[str, float | None] = {
        "miou": number,
        "macc": number + 1,
        "boundary_iou": number + 2,
        "consistency": number + 3,
        "flip_rate": 2.5,
        "flip_interior": 0.5,
        "gated": number + 4,
        "right_twice": number + 5,
        "coverage": 90.3,
        "vc8": number + 6,
        "warp_error": 0.25,
    }
    intervals = {"consistency": [number, number + 6], "miou": None}
    fingerprint = f"{flow}-1-abcdef0123456789"
    return Row(system, protocol, flow, fingerprint, "360x480", 101, known | shares, intervals)


def shown(rows: list[Row], width: int, published: bool = False) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    table(rows, "The title", console, published=published)
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= width
    return text


def lines_of(text: str, system: str) -> list[list[str]]:
    """The cells of each line that begins with a system's name."""
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines()]
    return [line for line in cells if line and line[0] == system]


@pytest.mark.parametrize("width", [160, 100])
def test_every_system_with_its_numbers(width: int) -> None:
    text = shown([row(system, 10.0 * k) for k, system in enumerate(SYSTEMS)], width)
    assert "The title" in text and "…" not in text, "nothing is cut off"
    for k, system in enumerate(SYSTEMS):
        numbers = [f"{10 * k + more:.2f}" for more in (0, 1, 2, 3)] + ["2.50", "0.50", f"{10 * k + 4:.2f}"]
        assert lines_of(text, system) == [[system, *numbers]]
    words = " ".join(text.split())
    for word in ("protocol visible", "flow dis abcdef01 (coverage 90.3)", "101 frames 360x480", "95 % intervals"):
        assert word in words
    assert "consistency" in words and "visible" not in words.replace("protocol visible", "")


def test_an_interval_stands_below_its_number() -> None:
    text = shown([row("a", 50)], 160)
    lines = text.splitlines()
    at = next(i for i, line in enumerate(lines) if "53.00" in line)
    assert "50.0-56.0" in lines[at + 1] and text.count("50.0-56.0") == 1


@pytest.mark.parametrize("width", [160, 80])
def test_several_protocols_have_a_table_of_their_own(width: int) -> None:
    rows = [
        row(system, 30, protocol, consistency=10.0 * (p + 1) + 5 + s)
        for p, protocol in enumerate(PROTOCOLS)
        for s, system in enumerate(("one", "other"))
    ]
    text = shown(rows, width)
    for s, system in enumerate(("one", "other")):
        first, second = lines_of(text, system)  # one line a system in each, whatever the number of protocols
        assert first[1] == "30.00"
        assert second[1:7] == [f"{10.0 * (p + 1) + 5 + s:.2f}" for p in range(6)]
    assert all(protocol in text for protocol in PROTOCOLS)


def test_a_line_for_each_flow() -> None:
    rows = [row(system, 50 + k, flow=flow) for k, flow in enumerate(("raft_small", "dis")) for system in ("a", "b")]
    text = shown(rows, 160)
    cells = [[cell.strip() for cell in line.split("│")] for line in text.splitlines()]
    assert [c[1:4] for c in cells if len(c) > 3 and c[1] in ("a", "b")] == [
        ["a", "raft_small", "50.00"],
        ["b", "raft_small", "50.00"],
        ["a", "dis", "51.00"],
        ["b", "dis", "51.00"],
    ]
    assert "flow raft_small abcdef01 (coverage 90.3); flow dis abcdef01" in " ".join(text.split())


@pytest.mark.parametrize("width", [160, 80])
def test_what_is_not_known_is_a_dash_or_no_column(width: int) -> None:
    keys = ("miou", "macc", "boundary_iou", "gated", "coverage", "consistency", "flip_rate")
    unknown = row("unknown", 50)
    unknown.shares |= dict.fromkeys(keys)
    text = shown([row("known", 50), unknown], width)
    line = next(line for line in text.splitlines() if "unknown" in line)
    assert [cell.strip() for cell in line.split("│")][2:-1].count("-") == 6
    text = shown([unknown], width)
    assert "mIoU" not in text and "coverage" not in text and "unknown" in text
    bare = Row("bare", "visible", "", "", "", 0, {})
    assert "bare" in shown([bare], width, published=True)


def test_measures_of_other_work_are_shown_where_asked_for() -> None:
    rows = [row("a", 50), row("b", 60, vc8=None)]
    assert "VC8" not in shown(rows, 160) and "other work" not in shown(rows, 160)
    text = shown(rows, 160, published=True)
    for word in ("For comparison with other work", "VC8", "56.00", "E_warp", "0.25", "right twice", "55.00"):
        assert word in text
    assert "VC16" not in text and "VEC8" not in text, "nobody has it"
