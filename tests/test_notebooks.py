"""The notebooks in docs/notebooks: each cell runs, one after the other, without a network and without Jupyter."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from temporalkd.data.video import VideoFile

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"


def run(name: str) -> dict[str, object]:
    """What the code cells of a notebook leave."""
    notebook = json.loads((NOTEBOOKS / name).read_text())
    assert notebook["nbformat"] == 4
    found: dict[str, object] = {"__name__": "__main__"}
    for number, cell in enumerate(notebook["cells"]):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, "stored without outputs"
            exec(compile("".join(cell["source"]), f"{name}, cell {number}", "exec"), found)
    return found


def test_distil_a_steady_student(elsewhere: None, capsys: pytest.CaptureFixture[str]) -> None:
    run("distil_a_steady_student.ipynb")
    told = capsys.readouterr().out
    assert [line.split()[0] for line in told.splitlines()][:4] == ["teacher", "plain", "etc", "ceiling"]
    assert len(VideoFile(Path("flicker.mp4"))) == 8 and Path("student.pth").is_file()


def test_how_steady_is_my_model(elsewhere: None, capsys: pytest.CaptureFixture[str]) -> None:
    run("how_steady_is_my_model.ipynb")
    told = capsys.readouterr().out
    assert "mine EMA 0.8" in told and "worst pair" in told and "junction " in told and "avenue " in told
    assert len(VideoFile(Path("flicker.mp4"))) == 10


def test_the_documentation_names_them() -> None:
    page = (NOTEBOOKS.parent / "examples.md").read_text()
    assert all(f"(notebooks/{path.name})" in page for path in NOTEBOOKS.iterdir())
